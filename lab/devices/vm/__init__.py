"""Devices that are virtual machines: the lab's own libvirt, boots by stages, what went wrong."""
