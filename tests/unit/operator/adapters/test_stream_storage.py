"""The alarm of a bucket that fills: once, well before it is full."""

from structlog.testing import capture_logs

from fleet.bus.streams import Usage
from fleet.operator.adapters.stream_storage import Alarm
from tests.unit.operator.fakes import FakeCounter


def test_it_is_said_once_when_a_bucket_fills_and_once_when_it_has_room_again():
    counter = FakeCounter()
    alarm = Alarm(counter)
    with capture_logs() as logs:
        for used in (10, 49, 50, 90, 100, 20, 10):
            alarm.take({"device-info": Usage(used, 100), "device-state": Usage(1, 100)})
    assert [(entry["event"], entry["bytes"]) for entry in logs] == [
        ("bucket filling", 50),
        ("bucket has room again", 20),
    ]
    assert counter.counts["stored device-info"] == 10


def test_a_bucket_without_limit_never_fills():
    assert Usage(1 << 40, -1).share == 0
