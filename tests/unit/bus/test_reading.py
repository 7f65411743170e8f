"""The reader of a bucket: what it remembers of junk is bounded, and what it logs can be shown."""

from datetime import UTC, datetime

from structlog.testing import capture_logs

from fleet.bus.port import Undecodable
from fleet.bus.reading import MOST_LOGGED, Reader
from fleet.contracts.messages import DEVICE_STATE

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_keys_without_end_take_no_memory_without_end():
    reader = Reader(DEVICE_STATE)
    with capture_logs() as logs:
        for n in range(2 * MOST_LOGGED):
            for _ in range(2):
                entry = reader.entry(f"state.pi-01.X{n}", b"", revision=n, at=NOW)
                assert isinstance(entry, Undecodable)
    assert len(logs) == 2 * MOST_LOGGED
    assert reader.undecodable == 4 * MOST_LOGGED
    assert len(reader._logged) <= MOST_LOGGED


def test_a_key_is_logged_so_that_a_terminal_does_nothing():
    reader = Reader(DEVICE_STATE)
    with capture_logs() as logs:
        reader.entry("state.pi-01.\x1b[2J", b"", revision=1, at=NOW)
    assert all(str(value).isprintable() for value in logs[0].values())
