"""
Failures that nobody foresaw are a problem of the device: in `device-info`, and in its status.

One problem sums up all that stand, so that it changes no more often than they do.
"""

from collections.abc import Hashable
from typing import Final

from fleet import errors
from fleet.agent.model.problems import Problems
from fleet.supervision.failures import Failure, Failures

SHOWN: Final = 5


class InternalErrors:
    """`failures.Watcher` of the agent."""

    def __init__(self, failures: Failures, problems: Problems) -> None:
        self._failures = failures
        self._problems = problems

    def failed(self, _: Failure) -> None:
        """Note a failure."""
        self._sum_up()

    def recovered(self, _: str, __: Hashable) -> None:
        """Note that one is over."""
        self._sum_up()

    def _sum_up(self) -> None:
        standing = self._failures.standing()
        if not standing:
            self._problems.clear(errors.InternalError.reason)
            return
        shown = "; ".join(_sentence(failure) for failure in standing[:SHOWN])
        more = f"; and {len(standing) - SHOWN} more" if len(standing) > SHOWN else ""
        self._problems.set(errors.InternalError.reason, f"{shown}{more}")


def _sentence(failure: Failure) -> str:
    key = f" {failure.key!s}" if failure.key else ""
    return f"{failure.part}{key}: {failure.message}"
