"""
Values that every room of the agent shares: what is wanted, what is reported, what is wrong.

Here belongs what depends neither on a runtime nor on the hub: intents, workloads, reports,
problems, and how long to wait after failures. No I/O here.
"""
