"""
Whether what was put has arrived: read from the servers, by code that shares nothing with the bus.

What comes of a whole run is `lab.soak.outcome`'s.
"""
