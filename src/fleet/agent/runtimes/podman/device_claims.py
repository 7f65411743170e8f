"""
Which container has which device node. Pure.

A container has its nodes from its creation on, by its label `containers.LABEL_DEVICES`, until it is
removed or has ended and isn't started again: so who waits between two crashes keeps its device, and
an agent that is restarted, or has lost its journal, knows who has what. What counts is which device
a node is (its number), whatever the names by which services call it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fleet.agent.runtimes.podman import planning
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts import containers
from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import RestartPolicy

_PATH, _NUMBER, _SHARED = "path", "number", "shared"


@dataclass(frozen=True, slots=True)
class Claim:
    """A node, as it was when its container was made: *path* as the score has it."""

    path: str
    number: str
    shared: bool = False


# Which device is at a path now; "" for none.
NumberAt = Callable[[str], str]
Row = tuple[Container, tuple[Claim, ...]]


def spell(claims: Iterable[Claim]) -> str:
    """Write *claims* as the text of a label; "" for none."""
    told = [{_PATH: c.path, _NUMBER: c.number, _SHARED: c.shared} for c in claims]
    return json.dumps(told) if told else ""


def read(labels: Mapping[str, str]) -> tuple[Claim, ...]:
    """Read the claims of a container; none where its label doesn't say any."""
    try:
        told = json.loads(labels.get(containers.LABEL_DEVICES) or "[]")
        return tuple(_claim(each) for each in told)
    except (ValueError, TypeError, KeyError, AttributeError):
        return ()


def is_renamed(container: Container, claims: Iterable[Claim], number_at: NumberAt) -> bool:
    """
    Tell whether a container was made with other devices than are there now.

    One that was plugged in anew may have another number, which a container keeps as it was made:
    neither what runs nor a restart would ever find it. `planning` says what comes of that.
    """
    if container.status not in (Status.RUNNING, Status.EXITED, Status.CREATED):
        return False
    return any(number_at(c.path) not in ("", c.number) for c in claims)


def holder(
    rows: Iterable[Row],
    claim: Claim,
    *,
    container: str,
    beside: DeploymentName | None,
    number_at: NumberAt,
) -> Container | None:
    """
    Find another container than *container* that has what is claimed, and doesn't share it.

    Those of the deployment *beside* don't count: what is to replace them comes after them.
    """
    for other, claims in rows:
        if other.name == container or other.deployment == beside or _is_over(other):
            continue
        for had in claims:
            # What runs has what it was given; what doesn't will be made anew with what is there.
            is_running = other.status not in (Status.EXITED, Status.CREATED)
            number = had.number if is_running else number_at(had.path)
            if number == claim.number and not (had.shared and claim.shared):
                return other
    return None


def _claim(told: Mapping[str, Any]) -> Claim:
    return Claim(str(told[_PATH]), str(told[_NUMBER]), told.get(_SHARED) is True)


def _is_over(container: Container) -> bool:
    """Tell whether a container isn't started again by itself."""
    if container.was_interrupted:
        return container.restart_policy is RestartPolicy.NEVER
    is_down = container.status is Status.EXITED
    return is_down and not planning.restarts(container.restart_policy, container.exit_code)
