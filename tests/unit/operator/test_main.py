"""What the operator's process says of itself."""

import asyncio

from fleet.bus import port
from fleet.bus.memory import MemoryServer
from fleet.operator import main
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from tests import virtual_time


def opened() -> SyncBarrier:
    barrier = SyncBarrier()
    for part in Part:
        barrier.listed(part)
    return barrier


async def test_an_operator_without_a_connection_is_not_ready():
    server = MemoryServer()
    bus = server.connect()
    assert main.unready(bus, opened()) == ""
    server.stop()
    assert main.unready(bus, opened()) == "not connected to NATS"


async def test_an_operator_is_not_ready_before_everything_was_listed():
    assert "desired-state" in main.unready(MemoryServer().connect(), SyncBarrier())


def test_an_operator_whose_server_is_silent_is_not_ready_though_it_is_connected():
    async def scenario() -> None:
        server = MemoryServer()
        bus = server.connect()
        server.freeze()
        assert main.unready(bus, opened()) == ""
        await asyncio.sleep(port.HEARD_SECONDS + 1)
        assert bus.connected
        assert main.unready(bus, opened()) == "NATS has been silent for 31 s"
        server.thaw()
        assert main.unready(bus, opened()) == ""

    virtual_time.run(scenario())
