"""The program on each device: turns desired state into running workloads, and reports."""
