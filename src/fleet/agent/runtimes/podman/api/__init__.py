"""
podman's HTTP API over its socket, by the standard library alone.

Here belongs how requests are spelt and answers are read: create specifications, error messages,
registry credentials, events, health checks. Nothing is decided about deployments here.
"""
