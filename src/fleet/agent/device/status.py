"""
What `fleet-agent status` says: gathered by the agent, shown to a person or a script. Pure.

A snapshot is the agent's own word of this instant, or, where no agent answers,
what its journal holds: then *is_running* is false, and no phase is known.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec

from fleet.agent.journal import entries
from fleet.agent.model import intents
from fleet.agent.model.reports import Report
from fleet.contracts import bounds, messages
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName

EXIT_WELL = 0
EXIT_UNWELL = 1
EXIT_NOT_RUNNING = 3

REMOVING = "Removing"
UNKNOWN = "?"

_REVISION_LENGTH = 12
_HEADER = ("DEPLOYMENT", "PHASE", "REVISION", "SERVICE", "STATE", "RESTARTS")


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """How one deployment fares. *phase* is one of the contract's, `Removing` or `?`."""

    name: str
    phase: str = UNKNOWN
    revision: str = ""
    services: tuple[messages.ServiceState, ...] = ()
    error: messages.StateError | None = None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """
    A device as its agent sees it. *since* is when the hub was found or lost.

    *is_connected* says that the hub is there: that it was heard of lately. *unheard_for* is
    how many seconds ago that was; null without a connection.
    """

    device_id: str
    hub: str = ""
    is_running: bool = False
    is_connected: bool = False
    unheard_for: float | None = None
    since: messages.Timestamp | None = None
    at: messages.Timestamp | None = None
    agent_version: str = ""
    deployments: tuple[Deployment, ...] = ()
    problems: tuple[messages.Problem, ...] = ()


def deployments(
    known: Mapping[DeploymentName, tuple[intents.Intent, Report | None]],
) -> tuple[Deployment, ...]:
    """Describe what an agent that runs is at."""
    return tuple(_live(name, *of) for name, of in sorted(known.items()))


def journalled(found: Iterable[entries.Entry]) -> tuple[Deployment, ...]:
    """Describe what an agent that doesn't run was at."""
    return tuple(_remembered(entry) for entry in found)


def exit_status(snapshot: Snapshot) -> int:
    """Sum a snapshot up for a script. Being out of the hub's reach is no fault of a device."""
    if not snapshot.is_running:
        return EXIT_NOT_RUNNING
    is_well = all(d.phase == Phase.RUNNING for d in snapshot.deployments)
    return EXIT_WELL if is_well and not snapshot.problems else EXIT_UNWELL


def show(snapshot: Snapshot) -> str:
    """Write *snapshot* for a person."""
    lines = [*_heading(snapshot), ""]
    if not snapshot.deployments:
        return "\n".join([*lines, "no deployments", ""])
    rows = [_HEADER, *(row for d in snapshot.deployments for row in _rows(d))]
    lines += _aligned(rows)
    for deployment in snapshot.deployments:
        if deployment.error:
            lines += ["", f"{deployment.name}: {_sentence(deployment.error)}"]
    return "\n".join([*lines, ""])


def _live(name: DeploymentName, intent: intents.Intent, report: Report | None) -> Deployment:
    if isinstance(intent, intents.Withdraw):
        return Deployment(name=str(name), phase=REMOVING)
    if report is None:
        return Deployment(name=str(name), phase=Phase.PENDING)
    return Deployment(
        name=str(name),
        phase=report.phase,
        revision=report.revision,
        services=report.services,
        error=report.error,
    )


def _remembered(entry: entries.Entry) -> Deployment:
    if entry.is_withdrawn:
        return Deployment(name=entry.deployment, phase=REMOVING)
    revision = entry.desired.revision if entry.desired else ""
    return Deployment(name=entry.deployment, revision=revision)


def _heading(snapshot: Snapshot) -> Iterator[str]:
    yield f"device   {snapshot.device_id}"
    if snapshot.is_running:
        yield f"agent    {snapshot.agent_version} running, {_time(snapshot.at)}"
        yield f"hub      {snapshot.hub} {_link(snapshot)} since {_time(snapshot.since)}"
    else:
        yield "agent    does not answer; below is what its journal holds, and nothing newer"
        yield f"journal  last written {_time(snapshot.at)}"
    for problem in snapshot.problems:
        yield f"problem  {problem.reason}: {problem.message}"


def _link(snapshot: Snapshot) -> str:
    if snapshot.is_connected:
        return "connected"
    if snapshot.unheard_for is None:
        return "not connected"
    return f"silent for {snapshot.unheard_for:.0f} s, connected"


def _rows(deployment: Deployment) -> Iterator[tuple[str, ...]]:
    revision = bounds.shown(deployment.revision[:_REVISION_LENGTH]) or "-"
    lead = (deployment.name, str(deployment.phase), revision)
    if not deployment.services:
        yield (*lead, "-", "-", "-")
    for service in deployment.services:
        yield (*lead, service.name, service.state, str(service.restarts))
        lead = ("", "", "")


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _sentence(error: messages.StateError) -> str:
    service = f"{error.service}: " if error.service else ""
    return f"{service}{error.reason}: {error.message}"


def _time(when: datetime | None) -> str:
    return when.strftime("%Y-%m-%d %H:%M:%S UTC") if when else "(unknown)"
