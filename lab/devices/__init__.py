"""What carries the lab's devices."""
