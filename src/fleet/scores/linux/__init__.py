"""Linux machines as scores: files, users, packages and services, here or over SSH."""
