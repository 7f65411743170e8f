"""
The operating system, as any program might use it: commands, /proc, locks, ports, waits, documents.

Nothing in here knows a lab, its ledger or its parts. What is made on a host on behalf of a lab,
and taken away again, belongs in `lab.host.lab_host`.
"""
