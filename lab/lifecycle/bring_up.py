"""Raises a lab: the walk through its stages, with all that belongs around every such walk."""

from collections.abc import Sequence

from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.lifecycle import assembly, cache_uses, recording, stages
from lab.lifecycle.assembly import Assembly
from lab.lifecycle.stages import Audience, Done, Plan

_HINT = (
    "`invoke lab.doctor` tries what the host must be able to do; `invoke lab.up` goes on from here"
)


def reach(
    lab: Assembly, audience: Audience, plans: Sequence[Plan] | None = None
) -> tuple[Done, ...]:
    """
    Bring *plans*, or all that *lab* has, about, and return what came of each score.

    What the lab stands on in the cache is written down before, and what is heard is recorded.
    """
    standing_on = cache_uses.of_checkout(lab.host)
    cache_uses.begin(lab.host, standing_on)
    wanted = assembly.plans(lab) if plans is None else plans
    done = stages.reach(wanted, lab.host, recording.recorded(audience, lab.host.logs))
    if not any(entry.failed for entry in done):
        cache_uses.settle(lab.host, standing_on)
    return done


def failures(done: Sequence[Done], host: LabHost) -> tuple[LabError, ...]:
    """Return the errors of all that failed, each with a place to look and a thing to do."""
    return tuple(_placed(entry, host) for entry in done if entry.failed)


def _placed(done: Done, host: LabHost) -> LabError:
    found = done.outcome.error
    if not isinstance(found, LabError):
        cause, found = found, LabError(f"{done.outcome.score}: {found}")
        found.__cause__ = cause
    found.log = found.log or host.logs
    found.hint = found.hint or _HINT
    found.where = done.lane
    return found
