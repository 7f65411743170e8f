"""
The device as a whole: what it is made of, and what `fleet-agent status` says about it.

Here belong the inventory and the status command with its socket. What one deployment does belongs
in `deployments`; what is written to the hub about the device, in `hub`.
"""
