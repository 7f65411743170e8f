"""
How a deployment fares over its devices: counters, moved by each event.

Per matched device, the first that applies:

| The device …                                      | counts as        |
|---------------------------------------------------|------------------|
| is silent                                         | `unknown`        |
| has told no state, or one of another revision     | `pending`        |
| has told a state of the wanted revision           | the state's phase |

``matched == pending + running + failed + unknown``, always. A move costs the
same however many devices there are; only the list of failing devices is
looked at when a status is made of it.
"""

import heapq
import sys
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self, assert_never

from fleet.contracts.messages import DeploymentState, Phase, StateError
from fleet.contracts.names import DeviceId

FAILING_SHOWN = 10


class Standing(StrEnum):
    """What one device counts as."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a device failed; *at* is the server's time at which that was told last."""

    reason: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a device counts as, and why it failed if it did."""

    standing: Standing
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What counts of a state that a device told: not its services, of which there are many."""

    phase: Phase
    revision: str
    error: StateError | None
    at: datetime

    @classmethod
    def of(cls, state: DeploymentState, at: datetime) -> Self:
        """Read a state; *at* is the server's time. Equal revisions become one object."""
        revision = sys.intern(state.revision)
        return cls(state.phase, revision, state.error, at)


@dataclass(frozen=True, slots=True)
class Aggregate:
    """The sums over a deployment's devices."""

    matched: int = 0
    pending: int = 0
    running: int = 0
    failed: int = 0
    unknown: int = 0
    last_error: tuple[DeviceId, Failure] | None = None
    failures: tuple[tuple[DeviceId, Failure], ...] = ()

    @property
    def failing(self) -> tuple[DeviceId, ...]:
        """The first devices that failed."""
        return tuple(device for device, _ in self.failures)


_UNKNOWN = Judgement(Standing.UNKNOWN)
_PENDING = Judgement(Standing.PENDING)
_RUNNING = Judgement(Standing.RUNNING)


def judge(report: Report | None, *, silent: bool, revision: str) -> Judgement:
    """Say what a device counts as, of which *revision* is wanted."""
    if silent:
        return _UNKNOWN
    if report is None or report.revision != revision:
        return _PENDING
    match report.phase:
        case Phase.PENDING:
            return _PENDING
        case Phase.RUNNING:
            return _RUNNING
        case Phase.FAILED:
            return Judgement(Standing.FAILED, _failure(report))
        case _:
            assert_never(report.phase)


class Tally:
    """The counters of one deployment."""

    def __init__(self) -> None:
        self._judgements: dict[DeviceId, Judgement] = {}
        self._failures: dict[DeviceId, Failure] = {}
        self._counts: Counter[Standing] = Counter()

    def __len__(self) -> int:
        return len(self._judgements)

    def standing(self, device: DeviceId) -> Standing | None:
        """Read what *device* counts as, if it counts at all."""
        judgement = self._judgements.get(device)
        return judgement.standing if judgement else None

    def count(self, device: DeviceId, judgement: Judgement | None) -> bool:
        """Count *device* as *judgement*, or no longer at all; tell whether that moved anything."""
        before = self._judgements.pop(device, None)
        self._failures.pop(device, None)
        if before is not None:
            self._counts[before.standing] -= 1
        if judgement is not None:
            self._judgements[device] = judgement
            self._counts[judgement.standing] += 1
            if judgement.failure is not None:
                self._failures[device] = judgement.failure
        return before != judgement

    def outlook(self) -> frozenset[Standing]:
        """
        Read what conditions are made of: which standings there are at all.

        `RUNNING` counts only where it is all there is: that a first device runs turns nothing.
        """
        found = frozenset(standing for standing, count in self._counts.items() if count)
        return found - {Standing.RUNNING} or found

    def aggregate(self) -> Aggregate:
        """Read the sums."""
        return Aggregate(
            matched=len(self._judgements),
            pending=self._counts[Standing.PENDING],
            running=self._counts[Standing.RUNNING],
            failed=self._counts[Standing.FAILED],
            unknown=self._counts[Standing.UNKNOWN],
            last_error=max(
                self._failures.items(), key=lambda item: (item[1].at, item[0]), default=None
            ),
            failures=tuple(
                (device, self._failures[device])
                for device in heapq.nsmallest(FAILING_SHOWN, self._failures)
            ),
        )


def _failure(report: Report) -> Failure:
    error = report.error
    return Failure(
        reason=error.reason if error else "Failed",
        message=_sentence(error.service, error.message) if error else "",
        at=report.at,  # a device's own clock may say anything
    )


def _sentence(service: str, message: str) -> str:
    return f"{service}: {message}" if service else message
