"""
The soak of the bus: its connection is broken in every way, under load, and nothing put is lost.

What belongs here breaks connections on purpose and judges what arrived: the schedule of faults, the
TCP proxy and the servers that bring them about, the load, and a reader that shares nothing with the
bus. What measures an intact system is `lab.bench`'s; what breaks a part of the lab or a device, and
asks what Fleet makes of it, is a test's.
"""
