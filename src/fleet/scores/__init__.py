"""Wanted states of the world, and the topologies that they are brought about on."""
