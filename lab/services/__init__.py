"""
The parts that every lab has: Kubernetes API, NATS, registry, operator. Each is a list of scores.

Here belongs how such a part is configured, started and found ready. In which order, and with which
devices, is up to `lifecycle`.
"""
