"""
Pure rules: from what the store knows to what shall be written, said or removed.

Here belongs each table of "if this is so, that is done": publishing, orphans, finalizers, the
status of a `Deployment`, the content of a `Device`, Events and their correlation. A decision
performs nothing and keeps no connection; the `writers` carry it out. No I/O here.
"""
