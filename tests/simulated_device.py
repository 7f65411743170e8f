"""The simulated device of the tests: the lab's own."""

from lab.simulated_device import SimulatedDevice

__all__ = ["SimulatedDevice"]
