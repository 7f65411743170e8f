"""A controller over a real nats-server, with the cluster in memory: for troubles of the bus."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from fleet import errors
from fleet.bus import jetstream, streams
from fleet.bus.nats import NatsBus
from fleet.bus.streams import Sizing
from fleet.operator.adapters import stream_storage
from fleet.operator.adapters.stream_storage import Alarm
from tests import nats_server
from tests.integration.bus import harness
from tests.nats_server import NatsServer
from tests.unit.operator.scene import Scene

PACE = replace(harness.PACE, patience=timedelta(seconds=20))


class BusScene(Scene):
    """*admin* may do anything to the server; the scene's own bus is the operator's."""

    def __init__(self, server: NatsServer, bus: NatsBus, admin: NatsBus) -> None:
        super().__init__(bus, self._again)
        self.server = server
        self.bus: NatsBus = bus
        self.admin = admin
        self.intervals = replace(self.intervals, resync=timedelta(seconds=0.3))
        self._keeping: asyncio.Task[None] | None = None

    async def _again(self) -> NatsBus:
        return await connect(self.server, nats_server.OPERATOR)

    async def size(self, sizing: Sizing | None) -> None:
        """Have the streams kept at that size, or not any more."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        if sizing is not None:
            alarm = Alarm(self.counter)
            keeping = stream_storage.keep(self.bus, sizing, alarm, every=timedelta(seconds=0.5))
            self._keeping = asyncio.create_task(keeping)

    async def post(self, bucket: str, key: str, data: bytes) -> None:
        """Write any bytes at any key, as nobody ought to."""
        reply = await self.admin.require().request(jetstream.subject(bucket, key), data)
        jetstream.read_reply(reply.data)

    async def restart(self, *, wiped: bool = False) -> None:
        """Kill the server, and start it with or without what it had stored."""
        self.server.kill()
        for bus in (self.bus, self.admin):
            await harness.until_disconnected(bus)
        if wiped:
            self.server.wipe()
        self.server.start()
        for bus in (self.bus, self.admin):
            await bus.wait_for_session()

    async def purge(self, bucket: str) -> None:
        """Remove all messages by hand."""
        await self.admin.ask(jetstream.stream_subject("PURGE", bucket), json.dumps({}).encode())

    async def drop(self, bucket: str) -> None:
        """Delete the stream; the operator makes it anew."""
        await self.admin.ask(jetstream.stream_subject("DELETE", bucket))

    async def keep_beating(self) -> None:
        """Have the device heard for ever, also after the server was away."""
        while True:
            try:
                await self.device.beat()
            except errors.BusUnavailable:
                await self.bus.wait_for_session()
            await asyncio.sleep(0.2)


@asynccontextmanager
async def bus_scene(
    directory: Path, sizing: Sizing | None = None, others: Sequence[nats_server.User] = ()
) -> AsyncIterator[BusScene]:
    """Run a server, which also lets *others* in, and what of the operator keeps its streams."""
    users = [nats_server.OPERATOR, nats_server.ADMIN]
    with nats_server.running_nats(directory, [*users, *others]) as server:
        bus, admin = [await connect(server, user) for user in users]
        scene = BusScene(server, bus, admin)
        await streams.ensure_streams(bus, sizing)
        await scene.size(sizing or Sizing())
        try:
            yield scene
        finally:
            await scene.size(None)
            for each in (bus, admin):
                await each.close()


async def connect(server: NatsServer, user: nats_server.User) -> NatsBus:
    """Connect as *user*, and wait until it stands."""
    return await harness.connect(server, user, PACE)
