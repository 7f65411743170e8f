"""
Who holds a deployment name. A key has no namespace, so a name has one holder in the cluster.

The incumbent of `desired-state` holds it (by namespace and name: a resource made
again stays the holder), else the oldest resource, else the lowest uid.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from fleet.bus.port import Entry, Put
from fleet.contracts.messages import ReconcileScore
from fleet.contracts.names import DeploymentName
from fleet.operator.model.custom_resources import Deployment


def holder(
    candidates: Iterable[Deployment], incumbents: Mapping[tuple[str, str], int]
) -> Deployment | None:
    """
    Choose among the *candidates* for one name.

    *incumbents* counts the keys per namespace and name of their owners.
    """
    return min(
        candidates,
        key=lambda d: (-incumbents.get(d.place, 0), d.created, d.uid),
        default=None,
    )


class Incumbents:
    """How many keys of each name the owners of values hold, by namespace and name of the owner."""

    def __init__(self) -> None:
        self._counts: defaultdict[DeploymentName, Counter[tuple[str, str]]] = defaultdict(Counter)

    def of(self, name: DeploymentName) -> Mapping[tuple[str, str], int]:
        """Read the counts of one name."""
        return self._counts.get(name, {})

    def count(
        self,
        name: DeploymentName,
        before: Entry[ReconcileScore] | None,
        after: Entry[ReconcileScore] | None,
    ) -> bool:
        """Count the owner of what stands at a key now; tell whether it is another one."""
        was, now = _place(before), _place(after)
        if was == now:
            return False
        counter = self._counts[name]
        if was is not None:
            counter[was] -= 1
            if not counter[was]:
                del counter[was]
        if now is not None:
            counter[now] += 1
        if not counter:
            del self._counts[name]
        return True


def _place(entry: Entry[ReconcileScore] | None) -> tuple[str, str] | None:
    if not isinstance(entry, Put) or entry.value.owner is None:
        return None
    return entry.value.owner.namespace, entry.value.owner.name
