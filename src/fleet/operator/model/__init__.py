"""
What the operator knows, in memory: values, indexes and counters, and the store that holds them.

Here belongs what a resource, a selector, a condition or a count *is*, and how it changes when an
event arrives. Rules that turn knowledge into writes belong in `decisions`; whatever reads a
clock, a network or a cluster belongs in `watches`, `writers` or `adapters`. No I/O here.
"""
