"""What people are told of failures: never of one to tell them something."""

from fleet.operator.model.store import Store
from fleet.operator.writers import event_recorder
from fleet.operator.writers.event_recorder import EventRecorder
from fleet.operator.writers.failure_events import FailureEvents
from fleet.supervision.failures import Failure
from tests.unit.operator.fakes import FakeClock, FakeCluster, FakeCounter


def test_of_a_failure_to_post_an_event_no_event_is_posted():
    """It would fail as well, and so on; and it would hide another one of the same series."""
    counter = FakeCounter()
    recorder = EventRecorder(FakeCluster(), FakeClock(), counter)
    events = FailureEvents(Store(), recorder, counter)
    events.failed(Failure(event_recorder.QUEUE, ("u1", "Stale"), "InternalError", "a bug"))
    assert len(recorder.queue) == 0
    events.failed(Failure("list", "", "InternalError", "a bug"))
    assert len(recorder.queue) == 1
    assert counter.counts["contained events"] == counter.counts["contained list"] == 1
