"""
What is broken: the servers, the proxies before them, and how each fault is brought about there.

Nothing in here knows the load, or what became of it.
"""
