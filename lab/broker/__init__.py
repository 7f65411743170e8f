"""The lab's NATS server: a process, its users and their credentials."""
