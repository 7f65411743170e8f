"""
Tells people of failures that nobody foresaw: a metric per part, and an Event where the owner looks.

The work for a deployment or device is told of at its object; what concerns no object, such as a
watch that breaks off, at the namespace that Fleet is in.
"""

from collections.abc import Hashable, Iterator

from fleet.contracts.names import DeviceId
from fleet.operator.decisions import events
from fleet.operator.decisions.events import Subject
from fleet.operator.model.custom_resources import Deployment, Device
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.ports import Counter
from fleet.operator.writers import event_recorder
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.supervision.failures import Failure


class FailureEvents:
    """`failures.Watcher` of the operator."""

    def __init__(self, store: Store, recorder: EventRecorder, counter: Counter) -> None:
        self._store = store
        self._recorder = recorder
        self._counter = counter

    def failed(self, failure: Failure) -> None:
        """Count, and have an Event posted for each owner of what nobody foresaw."""
        self._counter.contained(failure.part)
        if failure.is_foreseen or failure.part == event_recorder.QUEUE:
            return  # its log says what it is; of the recorder, an Event would fail, too
        for subject in tuple(self._owners(failure.key)) or (events.FLEET,):
            self._recorder.post(events.of_failure(subject, failure.part, failure.message))

    def recovered(self, part: str, key: Hashable) -> None:
        """Say nothing: an Event tells what happened, and isn't repeated."""

    def _owners(self, key: Hashable) -> Iterator[Subject]:
        match key:
            case Pair(device=device, deployment=name):
                yield from _subjects(self._store.holder(name), self._store.devices.get(device))
            case DeviceId():
                yield from _subjects(self._store.devices.get(key))
            case str():
                yield from _subjects(self._store.deployments.get(key))
            case _:
                pass


def _subjects(*resources: Deployment | Device | None) -> Iterator[Subject]:
    for resource in resources:
        if resource is not None:
            yield events.subject(resource)
