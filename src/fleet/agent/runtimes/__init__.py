"""What runs workloads on a device, behind one port."""
