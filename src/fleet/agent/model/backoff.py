"""How patient the agent is, by what failed."""

from fleet.supervision.backoff import Backoff, Random

__all__ = ["EAGER", "PERMANENT", "RETRYABLE", "Backoff", "Random"]

RETRYABLE = Backoff()
# A registry gets an image now and then that it did not have; people fix credentials.
PERMANENT = Backoff(first=15.0, longest=300.0)
EAGER = Backoff(first=0.5, longest=15.0, jitter=0.5)
