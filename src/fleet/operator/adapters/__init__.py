"""
The operator's edges: one module per library or protocol, and only that module imports it.

Here belong the Kubernetes client, Prometheus metrics, the HTTP endpoints, the upkeep of NATS
streams, and logging. No rule of Fleet's is decided here.
"""
