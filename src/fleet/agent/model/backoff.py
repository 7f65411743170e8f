"""How patient the agent is, by what failed."""

from fleet import errors
from fleet.supervision.backoff import Backoff, Random

__all__ = ["EAGER", "PERMANENT", "RETRYABLE", "WAITING", "Backoff", "Random", "policy"]

RETRYABLE = Backoff()
# A registry gets an image now and then that it did not have; people fix credentials.
PERMANENT = Backoff(first=15.0, longest=300.0)
# To look whether a device node is there costs next to nothing.
WAITING = Backoff(longest=10.0)
EAGER = Backoff(first=0.5, longest=15.0, jitter=0.5)


def policy(error: errors.FleetError | None) -> Backoff:
    """Tell how to wait after *error*."""
    match error:
        case errors.DeviceMissing() | errors.DeviceInUse():
            return WAITING
        case errors.PermanentError():
            return PERMANENT
        case _:
            return RETRYABLE
