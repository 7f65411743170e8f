"""A device as scores: from a bare machine to one that is registered with its fleet."""
