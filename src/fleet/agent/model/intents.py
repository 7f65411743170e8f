"""
What is to be done about one deployment, as read from its desired state.

| Intent     | Comes from                       | Does                                       |
|------------|----------------------------------|--------------------------------------------|
| `Apply`    | a desired value                  | brings the device to it                    |
| `Refuse`   | a value that can't be understood | reports why, and goes on with *kept*       |
| `Keep`     | nothing at all                   | keeps alive what is there                  |
| `Withdraw` | a delete marker, and that alone  | removes the containers, then the state key |

Absence is not an instruction: a missing key makes nothing go.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.contracts import messages, scores
from fleet.contracts.names import DeploymentName


@dataclass(frozen=True, slots=True)
class Apply:
    """
    Run exactly these services, sorted by name.

    *source* is the value that this was read from: what the journal keeps.
    """

    revision: str
    workloads: tuple[Workload, ...]
    source: messages.ReconcileScore | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Keep:
    """Keep what runs. Its score isn't known, its containers are."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """
    Go on with *kept*, since *revision* can't be done ("" where not even that can be read).

    *source* is the value that can't, if it is an envelope at all.
    """

    revision: str
    reason: str
    message: str
    kept: Apply | Keep
    source: messages.ReconcileScore | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Remove everything of this deployment."""


Intent: TypeAlias = Apply | Refuse | Keep | Withdraw


def read(
    deployment: DeploymentName, desired: messages.ReconcileScore, previous: Intent | None
) -> Apply | Refuse:
    """Read a desired value; one that can't be understood leaves the *previous* intent in force."""
    try:
        return _apply(deployment, desired)
    except errors.UndecodableValue as exc:
        return Refuse(desired.revision, exc.reason, str(exc), in_force(previous), desired)


def undecodable(message: str, previous: Intent | None) -> Refuse:
    """Read a value that isn't even an envelope."""
    return Refuse("", errors.InvalidDesiredState.reason, message, in_force(previous))


def in_force(intent: Intent | None) -> Apply | Keep:
    """Tell what to go on with where the next value can't be understood."""
    match intent:
        case Apply() | Keep():
            return intent
        case Refuse(kept=kept):
            return kept
        case Withdraw() | None:
            return Keep()


def pursued(intent: Intent) -> Apply | Keep | Withdraw:
    """Tell what is done on the device because of *intent*."""
    return intent.kept if isinstance(intent, Refuse) else intent


def _apply(deployment: DeploymentName, desired: messages.ReconcileScore) -> Apply:
    score = scores.decode(desired.type, desired.data)
    digests = scores.service_digests(desired.data)
    workloads = (Workload(deployment, s, digests[s.name]) for s in score.services)
    return Apply(desired.revision, tuple(sorted(workloads, key=lambda w: w.name)), desired)
