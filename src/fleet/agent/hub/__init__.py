"""
The agent's side of the four buckets: one module per kind of message.

Here belong the watch on desired state and the writers of device state, device info and heartbeat,
each with its own pace. Keys and messages are defined in `fleet.contracts`, the connection in
`fleet.bus`; what a message leads to is up to `deployments`.
"""
