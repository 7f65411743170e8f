"""A run on a time axis: what the lab's stages took, node by node, and each test; as one page."""
