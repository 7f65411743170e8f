"""
The owner of the connection: opens a session, holds it, ends it, opens the next, for ever.

Whatever goes wrong in that is logged, counted and tried again, ever more rarely:
a server that isn't there, a file that can't be read, and an error that nobody has
thought of. The one way to end it is `close`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext
from typing import Final

import structlog

from fleet import errors, threads
from fleet.bus import credentials
from fleet.bus.credentials import Login
from fleet.bus.pace import Pace
from fleet.bus.session import Session
from fleet.contracts.hub import Server
from fleet.supervision import containment

log = structlog.get_logger()

_FILE_SECONDS: Final = 5
_CLOSE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers are, and who we are there."""

    servers: tuple[Server, ...]
    credentials: Path | None
    name: str
    inbox_prefix: str
    ca: Path | None = None

    def __str__(self) -> str:
        return ",".join(str(server) for server in self.servers)


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """What the files of an address hold."""

    login: Login | None
    authority: SSLContext | None


def read_identity(address: Address) -> Identity:
    """
    Read who we are, and whom we trust.

    :raises errors.InvalidConfig: a file isn't there or isn't one.
    """
    return Identity(
        credentials.read_login(address.credentials) if address.credentials else None,
        credentials.read_authority(address.ca) if address.ca else None,
    )


class Files:
    """Reads the files of an address anew for each session, so that they can be replaced."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._reading: asyncio.Task[Identity] | None = None

    async def read(self) -> Identity:
        """
        Read them in a thread: a disk that hangs stops nothing, and is asked once at a time.

        :raises errors.InvalidConfig: one isn't there or isn't one.
        :raises errors.BusUnavailable: the disk doesn't answer.
        """
        if self._reading is None:
            call = threads.call(lambda: read_identity(self._address), name="credentials")
            self._reading = asyncio.create_task(call)
        done, _ = await asyncio.wait({self._reading}, timeout=_FILE_SECONDS)
        if not done:
            raise errors.BusUnavailable(f"credentials not read within {_FILE_SECONDS} s")
        reading, self._reading = self._reading, None
        return await containment.shared(reading)

    def close(self) -> None:
        """Wait for nothing any more."""
        if self._reading:
            self._reading.cancel()


class Keeper:
    """
    Keeps a session. *tell* hears of each one that stands, and of None when it doesn't any more.

    *faults* counts the errors that nobody has thought of.
    """

    def __init__(
        self,
        address: Address,
        pace: Pace,
        tell: Callable[[Session | None], None],
        chance: Callable[[], float],
    ) -> None:
        self._address = address
        self._files = Files(address)
        self._pace = pace
        self._tell = tell
        self._chance = chance
        self._failures = 0
        self._closing = False
        self._told = ""  # which kind of failure was logged since the last session
        self._since: float | None = None  # when the session that stands was opened
        self.faults = 0
        self.is_first = True  # nothing has gone wrong so far
        self._task = asyncio.create_task(self._run(), name="nats connection")

    async def close(self) -> None:
        """End the session, and make no other."""
        self._closing = True
        self._files.close()
        while not self._task.done():  # nats-py and asyncio 3.11 now and then lose a cancellation
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_CLOSE_SECONDS)

    async def _run(self) -> None:
        while not self._closing:
            try:
                stood = await self._hold_one()
                self.is_first = False
                self._failures = self._pace.failures_after(self._failures, stood=stood)
                pause = self._pause()
            except BaseException as exc:
                if containment.must_end(exc):
                    raise
                # Not even telling of it worked, as where the log takes nothing.
                self.faults += 1
                pause = self._pace.longest_retry.total_seconds()
            await asyncio.sleep(pause)

    def _pause(self) -> float:
        """Compute how long to wait; whatever goes wrong with that, it isn't nothing."""
        try:
            return self._pace.retry(self._failures, self._chance())
        except Exception:
            self.faults += 1
            log.exception("nats connection fault", url=str(self._address), faults=self.faults)
            return self._pace.longest_retry.total_seconds()

    async def _hold_one(self) -> float:
        """Open a session and stay until it ends; return for how many seconds it stood."""
        loop = asyncio.get_running_loop()
        self._since = None
        try:
            await self._hold(await self._open())
        except errors.FleetError as exc:
            self._log_failure(exc)
        except BaseException as exc:
            if containment.must_end(exc):
                raise
            self.faults += 1
            log.exception("nats connection fault", url=str(self._address), faults=self.faults)
        return 0.0 if self._since is None else loop.time() - self._since

    async def _hold(self, current: Session) -> None:
        self._since = asyncio.get_running_loop().time()
        try:
            self._change_to(current)
            self._told = ""
            why = await current.ended()
            log.warning("nats disconnected", url=str(self._address), error=why)
        finally:
            self._change_to(None)
            await current.close()

    async def _open(self) -> Session:
        """
        Open a session to the first server that takes us, beginning anywhere among them.

        :raises errors.BusUnavailable: none does.
        :raises errors.InvalidConfig: we can't say who we are.
        """
        identity = await self._files.read()
        servers = self._address.servers
        first = int(self._chance() * len(servers))
        refusals: list[str] = []
        for server in servers[first:] + servers[:first]:
            try:
                return await self._open_to(server, identity)
            except errors.BusUnavailable as exc:
                refusals.append(f"{server}: {exc}")
        raise errors.BusUnavailable("; ".join(refusals), element=str(self._address))

    async def _open_to(self, server: Server, identity: Identity) -> Session:
        current = Session(self._address.name, self._address.inbox_prefix, self._pace)
        seconds = self._pace.connect.total_seconds()
        try:
            async with asyncio.timeout(seconds):
                await current.open(server, identity.login, identity.authority)
        except (OSError, TimeoutError) as exc:
            why = str(exc) or f"no answer within {seconds:g} s"
            raise errors.BusUnavailable(why) from exc
        return current

    def _change_to(self, current: Session | None) -> None:
        try:
            self._tell(current)
        except Exception:
            self.faults += 1
            log.exception("nats listener fault", url=str(self._address), faults=self.faults)

    def _log_failure(self, error: errors.FleetError) -> None:
        """Say each kind once; a device that is offline for a year need not fill its disk."""
        if error.reason != self._told:
            self._told = error.reason
            log.warning("nats connection failed", url=str(self._address), error=str(error))
        else:
            log.debug("nats connection failed", error=str(error), failures=self._failures + 1)
