"""
What machines run on: the lab's own libvirt daemon, the accelerator, and how many machines fit.

What a single machine is made of belongs in the room above.
"""
