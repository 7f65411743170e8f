"""The reproducible test lab."""
