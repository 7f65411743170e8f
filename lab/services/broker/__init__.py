"""
The lab's NATS server: a process, its users and their credentials.

Here belongs also what the server alone can tell: when it last heard a device.
"""
