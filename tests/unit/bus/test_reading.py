"""The reader of a bucket: what becomes of bytes, and that junk is counted, bounded and shown."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from fleet.bus.port import Deleted, Put, Undecodable
from fleet.bus.reading import MOST_LOGGED, Reader
from fleet.contracts.messages import DEVICE_HEARTBEAT, DEVICE_STATE, HeartbeatPayload
from fleet.contracts.names import DeviceId

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = "heartbeat.pi-01"


def sign_of_life(at: datetime) -> HeartbeatPayload:
    return HeartbeatPayload(device_id=DeviceId("pi-01"), at=at)


@pytest.mark.parametrize(
    ("told", "replaced"), [(NOW - timedelta(minutes=1), False), (NOW - timedelta(days=1), True)]
)
def test_a_value_is_put_with_a_time_that_can_be_right(told: datetime, replaced: bool):
    data = DEVICE_HEARTBEAT.encode(sign_of_life(told))
    found = Reader(DEVICE_HEARTBEAT).entry(KEY, data, revision=7, at=NOW)
    value = sign_of_life(NOW if replaced else told)
    assert found == Put(KEY, value, 7, NOW, time_replaced=replaced)


def test_no_bytes_are_a_delete_marker():
    reader = Reader(DEVICE_HEARTBEAT)
    assert reader.entry(KEY, None, revision=7, at=NOW) == Deleted(KEY, 7, NOW)


@pytest.mark.parametrize(
    ("key", "data", "why"),
    [
        (KEY, b"{", "device-heartbeat/heartbeat.pi-01: Input data was truncated"),
        ("heartbeat.Pi", None, "'P' is not a lower-case letter"),
    ],
)
def test_what_is_no_message_is_undecodable_and_its_error_is_told_and_logged(
    key: str, data: bytes | None, why: str
):
    reader = Reader(DEVICE_HEARTBEAT)
    with capture_logs() as logs:
        found = reader.entry(key, data, revision=7, at=NOW)
    assert isinstance(found, Undecodable)
    assert (found.key, found.revision, found.at) == (key, 7, NOW)
    assert why in found.error
    (line,) = logs
    assert (line["bucket"], line["key"], line["error"]) == (
        "device-heartbeat",
        key,
        found.error,
    )


def test_a_key_is_logged_once_until_it_decodes_again():
    reader = Reader(DEVICE_HEARTBEAT)
    good = DEVICE_HEARTBEAT.encode(sign_of_life(NOW))
    logged = []
    for revision, data in enumerate([b"", b"", good, b""]):
        with capture_logs() as logs:
            reader.entry(KEY, data, revision=revision, at=NOW)
        logged.append(len(logs))
    assert logged == [1, 0, 0, 1]
    assert reader.undecodable == 3


def test_keys_without_end_take_no_memory_without_end():
    reader = Reader(DEVICE_STATE)
    with capture_logs() as logs:
        for n in range(2 * MOST_LOGGED):
            for _ in range(2):
                entry = reader.entry(f"state.pi-01.X{n}", b"", revision=n, at=NOW)
                assert isinstance(entry, Undecodable)
            assert len(reader._logged) <= MOST_LOGGED
    assert len(logs) == 2 * MOST_LOGGED
    assert reader.undecodable == 4 * MOST_LOGGED


def test_a_key_is_logged_so_that_a_terminal_does_nothing():
    reader = Reader(DEVICE_STATE)
    with capture_logs() as logs:
        reader.entry("state.pi-01.\x1b[2J", b"", revision=1, at=NOW)
    assert all(str(value).isprintable() for value in logs[0].values())
