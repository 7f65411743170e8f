"""
The typed key-value bucket that operator and agents meet in, and the connection to its server.

`port` is the promise, `nats` and `memory` keep it. Of the former, `keeper` owns the connection,
`session` is one of them, `wire` its bytes, `greeting` and `credentials` what stands before it;
`jetstream` has the server's words, and `bucket` reads and writes. Nothing here knows a device,
a deployment or a cluster.
"""
