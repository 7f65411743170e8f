"""
This host, as one lab may use it: its ledger, and all that is made under it.

Here belong the labs of a data directory, their addresses, and the processes, files, network,
mounts and cgroups that a lab makes; each is written to the ledger before it is made. What the
parts of a lab *are* belongs in `services`, `images` and `devices`.
"""
