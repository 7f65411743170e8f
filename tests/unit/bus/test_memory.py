"""What only the twin in memory has: a server that tests pull the plug of."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest

from fleet import errors
from fleet.bus import memory
from fleet.bus.memory import MemoryServer
from fleet.bus.port import Bus, Put, Synced
from fleet.contracts.messages import DEVICE_INFO, DeviceInfo
from fleet.contracts.names import DeviceId

KEY = "info.pi-01"
VALUE = DeviceInfo(device_id=DeviceId("pi-01"), labels={})


@pytest.mark.parametrize(
    ("pattern", "subject", "falls_under"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*.>", "a.b", True),
        ("a.*.c", "a.b.c", True),
    ],
)
def test_subjects_match_as_the_server_matches_them(pattern, subject, falls_under):
    assert memory.matches(pattern, subject) is falls_under


async def test_a_cut_link_leaves_the_others_alone():
    server = MemoryServer()
    cut: memory.MemoryBus = server.connect()
    whole: Bus = server.connect()
    cut.cut()
    with pytest.raises(errors.BusUnavailable):
        await cut.bucket(DEVICE_INFO).get(KEY)
    assert await whole.bucket(DEVICE_INFO).put(KEY, VALUE)
    cut.mend()
    assert isinstance(await cut.bucket(DEVICE_INFO).get(KEY), Put)
    assert (cut.session, whole.session) == (2, 1)


async def test_a_cut_link_stays_cut_when_the_server_comes_back():
    server = MemoryServer()
    bus = server.connect()
    bus.cut()
    server.stop()
    server.start()
    assert not bus.connected


async def test_a_mended_link_replays():
    server = MemoryServer()
    bus, other = server.connect(), server.connect()
    async with aclosing(bus.bucket(DEVICE_INFO).watch()) as watch:
        assert await anext(watch) == Synced(frozenset())
        bus.cut()
        await other.bucket(DEVICE_INFO).put(KEY, VALUE)
        bus.mend()
        assert isinstance(await anext(watch), Put)
        assert await anext(watch) == Synced(frozenset({KEY}))


async def test_time_is_the_servers():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    server = MemoryServer(clock=lambda: now)
    bus = server.connect()
    await bus.bucket(DEVICE_INFO).put(KEY, VALUE)
    entry = await bus.bucket(DEVICE_INFO).get(KEY)
    assert entry is not None
    assert entry.at == await bus.server_time() == now
    await bus.bucket(DEVICE_INFO).delete(KEY, ttl=timedelta(hours=1))
    now += timedelta(hours=1)
    assert await bus.bucket(DEVICE_INFO).get(KEY) is None
