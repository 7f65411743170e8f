"""The lab's NATS, as its administrator: how to connect, and Fleet's own connection to it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fleet.bus import nats as buses
from fleet.bus.nats import NatsBus
from fleet.bus.port import Entry
from fleet.contracts.messages import Codec, Message

_WITHIN = 30
M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Nats:
    """One server, and the credentials of who may do everything there."""

    url: str
    credentials: Path

    @property
    def options(self) -> dict[str, Any]:
        """Return what nats-py needs: ``await nats.connect(**lab_nats.options)``."""
        secret = json.loads(self.credentials.read_text())
        return {"servers": [self.url], "user": secret["user"], "password": secret["password"]}

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[NatsBus]:
        """Reach Fleet's buckets, for as long as the block lasts."""
        bus = await buses.connect(
            self.url, credentials=self.credentials, name="fleet-tests", pace=buses.ALONE
        )
        async with bus:
            async with asyncio.timeout(_WITHIN):
                await bus.wait_for_session()
            yield bus

    def read(self, codec: Codec[M], key: str) -> Entry[M] | None:
        """Read one value of a bucket; for tests that aren't asynchronous."""
        return asyncio.run(self._read(codec, key))

    async def _read(self, codec: Codec[M], key: str) -> Entry[M] | None:
        async with self.connected() as bus:
            return await bus.bucket(codec).get(key)
