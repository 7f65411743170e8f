"""
Which fault breaks which session, and how: a pure function of a seed and the session's number.

So one session can be run again alone: what a run did before it has no part in its plan.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from lab.errors import TopologyInvalid

LOAD_SECONDS = (0.05, 0.6)  # what a session bears before its fault
FAULT_SECONDS = (0.2, 3.0)  # both sides of when a call gives up, and a watch

ENCRYPTED = 0.5  # of the sessions


class Fault(StrEnum):
    """A way to break a connection. The values are what a person reads in the results."""

    FREEZE = "server frozen"
    FREEZE_AND_KILL = "server frozen, then killed"
    KILL = "server killed"
    STOP = "server stopped"
    RESET = "reset"
    RESET_UPSTREAM = "reset in a frame, up"
    RESET_DOWNSTREAM = "reset in a frame, down"
    HALF_OPEN = "half-open, both ways"
    DEAF = "half-open, nothing comes"
    MUTE = "half-open, nothing arrives"
    STALL = "not read from any more"
    HOLD = "held back, delivered late"
    SLOW = "slow bytes"
    REFUSE = "refused"
    DROP = "dropped after accept"
    DROP_AFTER_CONNECT = "dropped after CONNECT"
    SILENT = "no greeting"
    ODD_GREETING = "odd greeting"
    FAILOVER_FREEZE = "failover, frozen"
    FAILOVER_KILL = "failover, killed"
    FAILOVER_STOP = "failover, stopped"


OF_A_CLUSTER = (Fault.FAILOVER_FREEZE, Fault.FAILOVER_KILL, Fault.FAILOVER_STOP)

LONGER: Mapping[Fault, tuple[float, float]] = {
    Fault.FREEZE: (0.2, 8.0),  # until after the session is given up
    Fault.FREEZE_AND_KILL: (0.2, 8.0),
    Fault.HOLD: (0.2, 8.0),
    Fault.FAILOVER_FREEZE: (0.2, 12.0),  # until after the others have elected a leader
    Fault.FAILOVER_KILL: (0.2, 8.0),
    Fault.FAILOVER_STOP: (0.2, 8.0),
}


@dataclass(frozen=True, slots=True)
class Break:
    """
    How one session is broken: *fault*, *after* so many seconds of load, for *lasts* seconds.

    *share* in [0, 1) is for what else is left to chance: where a frame is cut, which greeting it
    is, how slow the bytes are. *is_encrypted* tells whether the session is one over TLS.
    """

    number: int
    fault: Fault
    after: float
    lasts: float
    share: float
    is_encrypted: bool

    @property
    def silences_all(self) -> bool:
        """Whether no server says a word while it lasts."""
        return self.fault in {Fault.FREEZE, Fault.FREEZE_AND_KILL}

    @property
    def needs_cluster(self) -> bool:
        """Whether it takes three servers."""
        return self.fault in OF_A_CLUSTER


def plan(seed: int, sessions: int) -> tuple[Break, ...]:
    """Plan *sessions* breaks, numbered from 1, each fault as often as the others."""
    return tuple(at(seed, number) for number in range(1, sessions + 1))


def at(seed: int, number: int) -> Break:
    """Plan the break of session *number* alone."""
    turn, place = divmod(number - 1, len(Fault))
    order = list(Fault)
    _chances(seed, f"order {turn}").shuffle(order)
    fault, chances = order[place], _chances(seed, f"session {number}")
    return Break(
        number=number,
        fault=fault,
        after=chances.uniform(*LOAD_SECONDS),
        lasts=chances.uniform(*LONGER.get(fault, FAULT_SECONDS)),
        share=chances.random(),
        is_encrypted=chances.random() < ENCRYPTED,
    )


def _chances(seed: int, what: str) -> random.Random:
    return random.Random(f"{seed} {what}")  # noqa: S311 - a schedule, not a secret


def choose(sessions: int, only: str) -> frozenset[int]:
    """
    Read which of *sessions* to run, from numbers with commas between; none means all of them.

    :raises TopologyInvalid: there are no such sessions.
    """
    numbers = {number.strip() for number in only.split(",") if number.strip()}
    if sessions < 1:
        raise TopologyInvalid(f"--sessions {sessions}", hint="it is 1 or more")
    if not numbers <= {str(number) for number in range(1, sessions + 1)}:
        hint = f"numbers from 1 to --sessions, which is {sessions}, with commas between"
        raise TopologyInvalid(f"--only {only}", hint=hint)
    return frozenset(map(int, numbers))
