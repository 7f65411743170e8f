"""
From the store to outside: whatever writes to a bucket or to the API server.

Here belong the work queues, and one writer per kind of object: `desired-state`, the status of a
`Deployment`, `Device` objects, Events, the removal of orphans and of the keys
of decommissioned devices. What
is written is decided in `decisions`; how a server is spoken to is in `adapters` and `fleet.bus`.
"""
