"""
All that the operator knows, in memory: rebuilt from KV and the API server, kept by nothing else.

Every change costs what it touches: one device's report moves one counter, one
device's labels are matched against the deployments, one selector against the
devices. What was touched is noted in `Store.touched` for whoever acts on it.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from fleet.bus.port import Entry
from fleet.contracts.messages import DeviceInfo, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.model import aggregation, name_conflicts
from fleet.operator.model.aggregation import Aggregate, Report, Standing, Tally
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.device_loads import DeviceLoads
from fleet.operator.model.facts import tells
from fleet.operator.model.matching.index import Names, Pair, Relation
from fleet.operator.model.matching.label_index import LabelIndex
from fleet.operator.model.name_conflicts import Incumbents


@dataclass(slots=True)
class Touched:
    """
    What has to be looked at again: keys, statuses (by uid) and `Device` objects.

    *loads* are devices of which only the count of their deployments changed.
    """

    pairs: set[Pair] = field(default_factory=set)
    deployments: set[str] = field(default_factory=set)
    devices: set[DeviceId] = field(default_factory=set)
    loads: set[DeviceId] = field(default_factory=set)


class Store:
    """The one place where state changes."""

    def __init__(self) -> None:
        self.deployments: dict[str, Deployment] = {}
        self.devices: dict[DeviceId, Device] = {}
        self.infos: dict[DeviceId, DeviceInfo] = {}
        self.desired: dict[Pair, Entry[ReconcileScore]] = {}
        # None: a state stands there that can't be read.
        self.states: dict[Pair, Report | None] = {}
        # Where the device itself deleted its state: it has acted on what it read.
        self.cleared: Relation[DeploymentName] = Relation()
        self.silent: set[DeviceId] = set()
        self.removable: dict[Pair, int] = {}  # orphans that may go, by revision
        self.loads = DeviceLoads()
        self.touched = Touched()
        self.names = Names()
        self._labels = LabelIndex()
        self._named: defaultdict[DeploymentName, set[str]] = defaultdict(set)
        self._holders: dict[DeploymentName, str] = {}
        self._incumbents = Incumbents()
        self._keys: Relation[DeploymentName] = Relation()
        self._matches: Relation[str] = Relation()
        self._tallies: dict[str, Tally] = {}

    # What others read.

    def holder(self, name: DeploymentName) -> Deployment | None:
        """Find who holds *name*."""
        uid = self._holders.get(name)
        return None if uid is None else self.deployments[uid]

    def rivals(self, name: DeploymentName) -> tuple[Deployment, ...]:
        """List all the resources of that name."""
        return tuple(self.deployments[uid] for uid in sorted(self._named.get(name, ())))

    def aggregate(self, uid: str) -> Aggregate:
        """Read the sums of a deployment: zeros for one that doesn't hold its name."""
        tally = self._tallies.get(uid)
        return tally.aggregate() if tally else Aggregate()

    def outlook(self, uid: str) -> frozenset[Standing]:
        """Read what some device of a deployment counts as: cheap, where the sums are not."""
        tally = self._tallies.get(uid)
        return tally.outlook() if tally else frozenset()

    def keyed_devices(self, name: DeploymentName) -> frozenset[DeviceId]:
        """List the devices with a desired or a device state of *name*."""
        return self._keys.devices(name)

    def keyed_deployments(self, device: DeviceId) -> frozenset[DeploymentName]:
        """List the deployments with a desired or a device state of *device*."""
        return self._keys.others(device)

    def knows(self, pair: Pair) -> bool:
        """Tell whether something stands at a key, in either bucket."""
        return self._keys.has(*pair) or self.cleared.has(*pair)

    def reported(self, device: DeviceId) -> int:
        """Count the deployments that *device* has or had something of, or that are wanted of it."""
        return self._keys.count(device) + self.cleared.count(device)

    def all_pairs(self) -> Iterator[Pair]:
        """List every key that is there or wanted; what changes meanwhile is touched."""
        yield from tuple(self.desired)
        for pair in tuple(self.states):
            if pair not in self.desired:
                yield pair
        for uid, name in [(uid, self.deployments[uid].name) for uid in self._tallies]:
            for device in self._matches.devices(uid):
                pair = Pair(device, name)
                if pair not in self.desired and pair not in self.states:
                    yield pair

    def wanted(self, pair: Pair) -> ReconcileScore | None:
        """Find what shall stand at a key: the score of who holds the name and matches."""
        uid = self._holders.get(pair.deployment)
        if uid is None or not self._matches.has(pair.device, uid):
            return None
        return self.deployments[uid].score

    # What changes it.

    def put_deployment(self, deployment: Deployment, *, own_status: bool = False) -> None:
        """Take note of a resource, new or changed; *own_status* is one just written."""
        before = self.deployments.get(deployment.uid)
        self.deployments[deployment.uid] = deployment
        if not own_status and (before is None or before.status != deployment.status):
            self.touched.deployments.add(deployment.uid)
        if before == deployment:
            return
        self._named[deployment.name].add(deployment.uid)
        self.touched.deployments.add(deployment.uid)
        if not self._settle_holder(deployment.name):
            self._match_again(before, deployment)
        self._touch_claims(before, deployment)

    def drop_deployment(self, uid: str) -> None:
        """Forget a resource that the API server no longer has."""
        deployment = self.deployments.get(uid)
        if deployment is None:
            return
        self._unmatch_all(uid)
        self._named[deployment.name].discard(uid)
        if not self._named[deployment.name]:
            del self._named[deployment.name]
        if self._holders.get(deployment.name) == uid:
            del self._holders[deployment.name]
        del self.deployments[uid]
        self._settle_holder(deployment.name)
        self._touch_name(deployment.name)

    def put_device(self, device: Device, *, own_status: bool = False) -> None:
        """Take note of a `Device` object, new or changed; *own_status* is one just written."""
        before = self.devices.get(device.id)
        self.devices[device.id] = device
        if before == device:
            return
        self._labels.relabel(device.id, before.labels if before else {}, device.labels)
        if not own_status or before is None or replace(before, status=device.status) != device:
            self.touched.devices.add(device.id)
        was_there = before is not None and _life(before) == _life(device)
        if before is None:
            self._touch_matchless()
        if not was_there:
            self._touch_device(device.id)
        if before is None or not was_there or before.labels != device.labels:
            self._match_device(device.id)
        if before is not None and before.labels != device.labels:
            self._touch_claims_on(device.id, before.labels, device.labels)

    def drop_device(self, device: DeviceId) -> None:
        """Forget a `Device` object that the API server no longer has; its keys stay."""
        found = self.devices.pop(device, None)
        if found is None:
            return
        self._labels.relabel(device, found.labels, {})
        self.silent.discard(device)
        for uid in self._matches.others(device):
            self._match(uid, device)
        self.touched.devices.add(device)
        self._touch_device(device)
        self._touch_matchless()

    def put_info(self, device: DeviceId, info: DeviceInfo | None) -> None:
        """Take note of what a device says of itself, or that it says nothing any more."""
        if info is None:
            self.infos.pop(device, None)
        else:
            self.infos[device] = info
        self.touched.devices.add(device)

    def put_desired(self, pair: Pair, entry: Entry[ReconcileScore] | None) -> None:
        """Take note of what stands at a key of `desired-state`."""
        before = self.desired.get(pair)
        if before == entry:
            return
        if entry is None:
            self.desired.pop(pair, None)
        elif before is not None and replace(entry, at=before.at) == before:
            # What we wrote ourselves, told back with the server's time.
            self.desired[pair] = entry
            return
        else:
            self.desired[pair] = entry
        self._index(pair)
        self.touched.pairs.add(pair)
        if self._incumbents.count(pair.deployment, before, entry) and self._is_contested(pair):
            self._settle_holder(pair.deployment)
        self._touch_deleting(pair.deployment)

    def put_state(self, pair: Pair, report: Report | None) -> None:
        """Take note of what a device told; None when that can't be read."""
        if report is None and self.states.get(pair) is not None:
            return  # what doesn't decode changes nothing
        is_news = pair not in self.states or self.cleared.has(*pair)
        self.states[pair] = report
        self.cleared.relate(*pair, related=False)
        if is_news:
            self._index(pair)
            self.touched.pairs.add(pair)
        self._state_changed(pair)

    def clear_state(self, pair: Pair) -> None:
        """Take note that a device said that nothing of a deployment is left on it."""
        self.cleared.relate(*pair)
        self.touched.pairs.add(pair)
        self.drop_state(pair)

    def drop_state(self, pair: Pair) -> None:
        """Take note that no state stands there any more, whoever removed it."""
        if pair in self.states:
            del self.states[pair]
            self._index(pair)
            self.touched.pairs.add(pair)
            self._state_changed(pair)

    def set_silent(self, device: DeviceId, *, silent: bool) -> None:
        """Take note that a device fell silent, or is heard again."""
        if (device in self.silent) is silent:
            return
        if silent:
            self.silent.add(device)
        else:
            self.silent.discard(device)
        self.touched.devices.add(device)
        for uid in self._matches.others(device):
            self._judge(uid, device)
        for name in self._keys.others(device):
            self._touch_deleting(name)

    def allow_removal(self, pair: Pair, revision: int) -> None:
        """Take note that the orphan at a key may go, as it stands at *revision*."""
        if self.removable.get(pair) != revision:
            self.removable[pair] = revision
            self.touched.pairs.add(pair)

    def forbid_removal(self, pair: Pair) -> None:
        """Take note that what stands at a key may not go."""
        if self.removable.pop(pair, None) is not None:
            self.touched.pairs.add(pair)

    # How a change spreads.

    def _state_changed(self, pair: Pair) -> None:
        uid = self._holders.get(pair.deployment)
        if uid is not None:
            self._judge(uid, pair.device)
        self._touch_deleting(pair.deployment)

    def _settle_holder(self, name: DeploymentName) -> bool:
        """Choose who holds *name* anew; tell whether that changed."""
        chosen = name_conflicts.holder(self.rivals(name), self._incumbents.of(name))
        before = self._holders.get(name)
        uid = chosen.uid if chosen else None
        if uid == before:
            return False
        if before is not None:
            self._unmatch_all(before)
        if uid is None:
            del self._holders[name]
        else:
            self._holders[name] = uid
            self._match_all(uid)
        self.touched.deployments.update(self._named.get(name, ()))
        return True

    def _match_all(self, uid: str) -> None:
        deployment = self.deployments[uid]
        if self._holders.get(deployment.name) != uid:
            return
        self._tallies.setdefault(uid, Tally())
        candidates = self._labels.candidates(deployment.selector)
        for device in self.devices if candidates is None else candidates:
            self._match(uid, device)
        for device in self._matches.devices(uid):
            self._match(uid, device)

    def _match_again(self, before: Deployment | None, deployment: Deployment) -> None:
        """Match a deployment that holds, or doesn't hold, its name as before it changed."""
        self._match_all(deployment.uid)
        if before is None or before.score == deployment.score:
            return
        for device in self._matches.devices(deployment.uid):
            pair = Pair(device, deployment.name)
            if not tells(self.desired.get(pair), deployment.score):
                self.touched.pairs.add(pair)

    def _match_device(self, device: DeviceId) -> None:
        for uid in self._holders.values():
            self._match(uid, device)

    def _unmatch_all(self, uid: str) -> None:
        tally = self._tallies.pop(uid, None)
        for device in self._matches.devices(uid):
            self._matches.relate(device, uid, related=False)
            self.touched.pairs.add(Pair(device, self.deployments[uid].name))
            self._count_load(device, tally.standing(device) if tally else None, None)

    def _match(self, uid: str, device: DeviceId) -> None:
        deployment = self.deployments[uid]
        found = self.devices.get(device)
        matches = (
            found is not None
            and found.deleting_since is None
            and deployment.score is not None
            and deployment.deleting_since is None
            and deployment.has_finalizer
            and deployment.selector.matches(found.labels)
        )
        matched = self._matches.has(device, uid)
        if matches is not matched:
            self._matches.relate(device, uid, related=matches)
            self.touched.pairs.add(Pair(device, deployment.name))
        if matches or matched:
            self._judge(uid, device)

    def _judge(self, uid: str, device: DeviceId) -> None:
        deployment = self.deployments[uid]
        judgement = None
        if deployment.score is not None and self._matches.has(device, uid):
            judgement = aggregation.judge(
                self.states.get(Pair(device, deployment.name)),
                silent=device in self.silent,
                revision=deployment.score.revision,
            )
        tally = self._tallies[uid]
        before = tally.standing(device)
        if tally.count(device, judgement):
            self.touched.deployments.add(uid)
            self._count_load(device, before, judgement.standing if judgement else None)

    def _count_load(
        self, device: DeviceId, before: Standing | None, after: Standing | None
    ) -> None:
        if self.loads.count(device, before, after):
            self.touched.loads.add(device)

    def _is_contested(self, pair: Pair) -> bool:
        return len(self._named.get(pair.deployment, ())) > 1

    def _index(self, pair: Pair) -> None:
        known = pair in self.desired or pair in self.states
        self._keys.relate(pair.device, pair.deployment, related=known)

    def _touch_device(self, device: DeviceId) -> None:
        self.touched.pairs.update(Pair(device, name) for name in self._keys.others(device))

    def _touch_matchless(self) -> None:
        """Their statuses say how many devices there are."""
        self.touched.deployments.update(uid for uid, tally in self._tallies.items() if not tally)

    def _touch_name(self, name: DeploymentName) -> None:
        self.touched.pairs.update(Pair(device, name) for device in self._keys.devices(name))

    def _touch_claims(self, before: Deployment | None, deployment: Deployment) -> None:
        """Touch the keys that *deployment* claims as it didn't before, or no longer."""
        if before is None or before.deleting_since != deployment.deleting_since:
            self._touch_name(deployment.name)
            return
        if (before.selector, before.refusal) == (deployment.selector, deployment.refusal):
            return
        for device in self._keys.devices(deployment.name):
            found = self.devices.get(device)
            if found and before.may_want(found.labels) is not deployment.may_want(found.labels):
                self.touched.pairs.add(Pair(device, deployment.name))

    def _touch_claims_on(
        self, device: DeviceId, before: Mapping[str, str], labels: Mapping[str, str]
    ) -> None:
        """Touch the keys of *device* that some deployment claims by one of its labels alone."""
        for name in self._keys.others(device):
            if any(r.may_want(before) is not r.may_want(labels) for r in self.rivals(name)):
                self.touched.pairs.add(Pair(device, name))

    def _touch_deleting(self, name: DeploymentName) -> None:
        for uid in self._named.get(name, ()):
            if self.deployments[uid].deleting_since is not None:
                self.touched.deployments.add(uid)


def _life(device: Device) -> tuple[str, datetime, bool]:
    """Tell one object of a device's id from another, and whether it is being deleted."""
    return device.uid, device.created, device.deleting_since is not None
