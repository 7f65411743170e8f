"""What the store knows about one key of `desired-state`, gathered for who decides about it."""

from fleet.bus.port import Deleted, Entry, Put
from fleet.contracts.messages import Owner, ReconcileScore
from fleet.contracts.resources import DEPLOYMENT_PLURAL, DEVICE_PLURAL
from fleet.operator.model.custom_resources import Deployment
from fleet.operator.model.ending import Ending
from fleet.operator.model.facts import Facts
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store


def gather(store: Store, pair: Pair) -> Facts:
    """Gather what decides about one key."""
    entry = store.desired.get(pair)
    owner = _owner(store, pair)
    return Facts(
        wanted=store.wanted(pair),
        entry=entry,
        has_state=pair in store.states,
        ended=_is_leaving(store, pair) or _has_ended(store, pair, owner),
        unclaimed=_is_unclaimed(store, pair, owner, has_entry=entry is not None),
        unread=_is_unread(store, pair, entry),
        removable=store.removable.get(pair) == (entry.revision if entry else 0),
        remade=_is_remade(store, pair, owner),
    )


def parted(store: Store, pair: Pair) -> Deployment | None:
    """Find who owns a key, and by labels and selector alone no longer wants it."""
    owner = _owner(store, pair)
    deployment = store.deployments.get(owner.uid) if owner else None
    if deployment is None or deployment.deleting_since is not None:
        return None
    return None if _is_leaving(store, pair) else deployment


def endings(store: Store, pair: Pair) -> tuple[Ending, ...]:
    """Find what is being deleted that a key stands for: its device, and who owns it."""
    owner = _owner(store, pair)
    device = store.devices.get(pair.device)
    deployment = store.deployments.get(owner.uid) if owner else None
    found = ((DEVICE_PLURAL, device), (DEPLOYMENT_PLURAL, deployment))
    return tuple(Ending(plural, each.uid) for plural, each in found if each and each.deleting_since)


def _owner(store: Store, pair: Pair) -> Owner | None:
    entry = store.desired.get(pair)
    return entry.value.owner if isinstance(entry, Put) else None


def _has_ended(store: Store, pair: Pair, owner: Owner | None) -> bool:
    deployment = store.deployments.get(owner.uid) if owner else None
    if deployment is None:
        return False
    if deployment.deleting_since is not None:
        return True
    device = store.devices.get(pair.device)
    return device is not None and not deployment.may_want(device.labels)


def _is_leaving(store: Store, pair: Pair) -> bool:
    found = store.devices.get(pair.device)
    return found is not None and found.deleting_since is not None


def _is_unread(store: Store, pair: Pair, entry: Entry[ReconcileScore] | None) -> bool:
    """Tell whether a marker was perhaps never read: left to a predecessor, or to nobody."""
    if not isinstance(entry, Deleted) or store.cleared.has(*pair):
        return False
    device = store.devices.get(pair.device)
    return device is None or device.deleting_since is not None or device.created > entry.at


def _is_unclaimed(store: Store, pair: Pair, owner: Owner | None, *, has_entry: bool) -> bool:
    if owner is not None and owner.uid in store.deployments:
        return False
    device = store.devices.get(pair.device)
    rivals = store.rivals(pair.deployment)
    if device is None:  # of a device that isn't known, what it wants isn't either
        return has_entry and not rivals
    return not any(rival.may_want(device.labels) for rival in rivals)


def _is_remade(store: Store, pair: Pair, owner: Owner | None) -> bool:
    if owner is None:
        return False
    place = (owner.namespace, owner.name)
    rivals = store.rivals(pair.deployment)
    return any(rival.place == place and rival.deleting_since is None for rival in rivals)
