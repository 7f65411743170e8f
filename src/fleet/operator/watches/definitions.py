"""
Whether an object is deleted for its own sake, or along with its definition.

Who deletes a CustomResourceDefinition deletes all objects of it: the API server does, one by one.
That is no wish of anybody to empty the devices. The definition is marked before the first object
is, so it is read once for each object after that was seen to be deleted.
"""

from typing import Final

from fleet.operator.model.ending import Ending
from fleet.operator.ports import Cluster

KNOWN: Final = 10_000  # of the latest


class Definitions:
    """Remembers of each object that is being deleted whether its definition stood then."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._known: dict[Ending, bool] = {}

    async def stand(self, ending: Ending) -> bool:
        """
        Tell whether the definition of an object stood while that was being deleted.

        :raises errors.ClusterUnavailable: the API server didn't answer.
        :raises errors.ClusterRefused: we may not read definitions.
        """
        if ending not in self._known:
            self._known[ending] = await self._cluster.is_defined(ending.plural)
            if len(self._known) > KNOWN:
                del self._known[next(iter(self._known))]
        return self._known[ending]
