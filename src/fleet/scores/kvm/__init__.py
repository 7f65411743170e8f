"""Hypervisors as scores: libvirt's pools, networks, volumes and domains."""
