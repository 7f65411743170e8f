"""
Tell the hub what this device is: `device-info`, at start and whenever any of it changes.

Also asks the runtime now and then whether it still works, since nothing else
would notice on a device where nothing is deployed.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
import structlog

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.model.problems import Problems
from fleet.agent.runtimes.port import Runtime
from fleet.bus.port import Bucket
from fleet.contracts import kv, messages

log = structlog.get_logger(__name__)


class DeviceInfoPublisher:
    """
    Writes our `device-info`.

    *base* is what stays the same as long as the process runs; the runtime is
    asked *every* so many seconds. The first word of a fleet that starts at one instant is
    spread over a part of *spread* seconds.
    """

    def __init__(
        self,
        base: messages.DeviceInfo,
        bucket: Bucket[messages.DeviceInfo],
        runtime: Runtime,
        *,
        every: float,
        now: Callable[[], datetime],
        random: backoff.Random,
        spread: float = 0.0,
    ) -> None:
        self._spread = spread
        self._base = base
        self._bucket = bucket
        self._runtime = runtime
        self._every = every
        self._now = now
        self._random = random
        self._version = ""
        self._changed = asyncio.Event()
        self._written: messages.DeviceInfo | None = None
        self.problems = Problems(self._changed.set)

    def repeat(self) -> None:
        """Write it once more, though nothing changed."""
        self._written = None
        self._changed.set()

    async def check(self) -> None:
        """Ask the runtime whether it works, again and again, until cancelled."""
        failures = 0
        while True:
            failures = 0 if await self.check_once() else failures + 1
            soon = backoff.EAGER.delay(failures, self._random)
            await asyncio.sleep(min(soon, self._every) if failures else self._every)

    async def check_once(self) -> bool:
        """Ask the runtime whether it works."""
        try:
            version = await self._runtime.version()
        except errors.RuntimeUnavailable as exc:
            self.problems.set(exc.reason, str(exc))
            return False
        self.problems.clear(errors.RuntimeUnavailable.reason)
        if version != self._version:
            self._version = version
            self._changed.set()
        return True

    async def run(self) -> None:
        """Write whatever changes, until cancelled. The first thing written tells of the runtime."""
        await self.check_once()
        await asyncio.sleep(self._spread / 4 * self._random())
        failures = 0
        self._changed.set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._write()
                failures = 0
            except errors.RetryableError as exc:
                failures += 1
                if failures == 1:
                    log.warning("device-info not told yet", reason=exc.reason, error=str(exc))
                self._changed.set()
                await asyncio.sleep(backoff.EAGER.delay(failures, self._random))

    async def _write(self) -> None:
        info = self._describe()
        if info == self._written:
            return
        stamped = msgspec.structs.replace(info, updated_at=self._now())
        await self._bucket.put(kv.device_info_key(info.device_id), stamped)
        self._written = info

    def _describe(self) -> messages.DeviceInfo:
        runtimes = {self._runtime.name: self._version} if self._version else {}
        inventory = msgspec.structs.replace(self._base.inventory, runtimes=runtimes)
        return msgspec.structs.replace(
            self._base, inventory=inventory, problems=self.problems.list()
        )
