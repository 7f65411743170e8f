"""
Who holds a deployment name. A key has no namespace, so a name has one holder in the cluster.

The incumbent of `desired-state` holds it (by namespace and name: a resource made
again stays the holder), else the oldest resource, else the lowest uid.
"""

from collections.abc import Iterable, Mapping

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
