"""Fleet keeps workloads running on many devices."""
