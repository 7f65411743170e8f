"""From bytes to entries: bad ones are told, counted, and logged once."""

from datetime import UTC, datetime

from structlog.testing import capture_logs

from fleet.bus.port import Deleted, Put, Undecodable
from fleet.bus.reading import Reader
from fleet.contracts.messages import DEVICE_INFO, DeviceInfo
from fleet.contracts.names import DeviceId

AT = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "info.pi-01"
GOOD = b'{"device_id":"pi-01","labels":{}}'


def read(reader: Reader[DeviceInfo], data: bytes | None, key: str = KEY):
    return reader.entry(key, data, revision=1, at=AT)


def test_a_value_becomes_a_put():
    value = DeviceInfo(device_id=DeviceId("pi-01"), labels={})
    assert read(Reader(DEVICE_INFO), GOOD) == Put(KEY, value, 1, AT)


def test_a_marker_becomes_deleted():
    assert read(Reader(DEVICE_INFO), None) == Deleted(KEY, 1, AT)


def test_a_marker_at_a_strange_key_is_undecodable():
    """A reader that takes the key apart must not stumble over it."""
    assert isinstance(read(Reader(DEVICE_INFO), None, key="strange"), Undecodable)


def test_bad_bytes_are_counted_each_time_and_logged_once_per_key():
    reader = Reader(DEVICE_INFO)
    with capture_logs() as logs:
        for _ in range(3):
            assert isinstance(read(reader, b"{"), Undecodable)
        read(reader, b"{", key="info.pi-02")
    assert reader.undecodable == 4
    assert [entry["key"] for entry in logs] == [KEY, "info.pi-02"]


def test_a_key_that_decoded_again_is_logged_again_when_it_breaks():
    reader = Reader(DEVICE_INFO)
    with capture_logs() as logs:
        for data in (b"{", GOOD, b"{"):
            read(reader, data)
    assert len(logs) == 2
