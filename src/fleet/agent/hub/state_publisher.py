"""
Write one `device-state` key: tell the hub how one deployment fares.

* The first word is heard before any container is made: `heard` waits for it. So
  a device without the key has no containers of that deployment.
* A change is written at most once a second, but for the first that turns the phase
  of a revision: a person waits for it. Whatever keeps changing (a crash loop) is
  written ever more rarely, down to once in 30 s; a new revision is news again.
* Restart counts alone write nothing.
* What can't be written now is written when the hub is back, in its latest form.
"""

import asyncio
import contextlib
import random as stdlib_random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec
import structlog

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.model.reports import Report
from fleet.bus.port import Bucket
from fleet.contracts import kv, messages
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failures

log = structlog.get_logger(__name__)

PART = "state"
MARKER_TTL = timedelta(hours=1)
_QUIET_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Pace:
    """How soon after a write the next may follow. *burst* changes are news, more are noise."""

    shortest: float = 1.0
    longest: float = 30.0
    burst: int = 6

    def gap(self, writes: int) -> float:
        """Give the seconds to leave after *writes* in a row."""
        return min(self.longest, self.shortest * 2.0 ** min(max(0, writes - self.burst), 16))


@dataclass(frozen=True, slots=True)
class StatePublisher:
    """
    What every key of a device is written with.

    *now* is the time of day. *may_speak* is set once the hub has told all that it
    wants. Until then nobody knows which revision containers belong to that the
    journal doesn't speak of, and to say "none" would make a deployment that runs
    well look pending. What has a revision is told at once: it is true, and whether
    it is still wanted is the operator's to compare.
    """

    device_id: DeviceId
    bucket: Bucket[messages.DeploymentState]
    now: Callable[[], datetime]
    may_speak: asyncio.Event
    random: backoff.Random = stdlib_random.random
    pace: Pace = Pace()
    failures: Failures = field(default_factory=Failures)


class StateKey:
    """The key of one deployment. `run` does the writing; *on_heard* is called when a state is."""

    def __init__(
        self,
        publisher: StatePublisher,
        deployment: DeploymentName,
        on_heard: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_heard = on_heard
        self._publisher = publisher
        self._deployment = deployment
        self._key = kv.device_state_key(publisher.device_id, deployment)
        self._report: Report | None = None
        self._is_gone = False
        self._changed = asyncio.Event()
        self._heard = asyncio.Event()
        self._gone = asyncio.Event()
        self._writes = self._turns = 0
        self._written_at = float("-inf")
        self._written_revision: str | None = None
        self._written_phase: messages.Phase | None = None

    @property
    def report(self) -> Report | None:
        """What was told last."""
        return self._report

    def tell(self, report: Report) -> None:
        """Have *report* written, unless it says nothing new."""
        is_news = self._is_gone or self._report is None or not _is_same(self._report, report)
        self._report, self._is_gone = report, False
        self._gone.clear()
        if is_news:
            self._changed.set()

    def withdraw(self) -> None:
        """Have the key deleted."""
        self._report, self._is_gone = None, True
        self._heard.clear()
        self._gone.clear()
        self._changed.set()

    def repeat(self) -> None:
        """Have the same written once more."""
        if self._report is not None or self._is_gone:
            self._changed.set()

    def was_heard(self) -> None:
        """Take note that the hub holds a state of an earlier process."""
        self._heard.set()

    @property
    def is_heard(self) -> bool:
        """Whether the hub holds some state of this deployment."""
        return self._heard.is_set()

    async def heard(self) -> None:
        """Wait until the hub holds some state of this deployment."""
        await self._heard.wait()

    async def gone(self) -> None:
        """Wait until the key is deleted."""
        await self._gone.wait()

    async def run(self) -> None:
        """Write whatever changes, until cancelled."""
        failures = 0
        while True:
            await self._changed.wait()
            if self._is_unsure():
                await self._publisher.may_speak.wait()
            await self._wait_for_turn()
            self._changed.clear()
            contained = self._publisher.failures.contained(
                PART, self._deployment, passes=(errors.FleetError,)
            )
            try:
                with contained:
                    await self._write()
                if contained.failure:
                    raise errors.InternalError(contained.failure.message)
            except errors.RetryableError as exc:
                failures += 1
                self._complain(exc, failures)
                self._changed.set()
                await asyncio.sleep(backoff.EAGER.delay(failures, self._publisher.random))
            except errors.PermanentError as exc:
                # A bug of ours, or of the hub's configuration; the next change is tried again.
                log.critical("state not told", key=self._key, reason=exc.reason, error=str(exc))
            else:
                failures = 0

    def _is_unsure(self) -> bool:
        """Tell whether there is only a "" to tell; with a revision, the hub can judge by itself."""
        return self._report is not None and not self._report.revision

    async def _wait_for_turn(self) -> None:
        """Let the gap pass, which what is told meanwhile may shorten."""
        now = asyncio.get_running_loop().time
        if now() - self._written_at > _QUIET_SECONDS:
            self._writes = self._turns = 0
        while (pause := self._written_at + self._gap() - now()) > 0:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()

    def _gap(self) -> float:
        """Give the gap: the shortest for a new revision, and none for its first turn."""
        if self._is_new_revision():
            self._writes = self._turns = 0
        elif self._is_turn() and not self._turns:
            return 0.0
        return self._publisher.pace.gap(self._writes)

    def _is_new_revision(self) -> bool:
        return self._is_gone or (
            self._report is not None and self._report.revision != self._written_revision
        )

    def _is_turn(self) -> bool:
        return self._report is not None and self._report.phase is not self._written_phase

    async def _write(self) -> None:
        if self._is_gone:
            await self._publisher.bucket.delete(self._key, ttl=MARKER_TTL)
            self._note(None, None)
            if self._is_gone:
                self._gone.set()
        elif self._report is not None:
            report = self._report
            await self._publisher.bucket.put(self._key, self._message(report))
            self._note(report.revision, report.phase)
            if not self._is_gone:
                self._on_heard()
                self._heard.set()

    def _note(self, revision: str | None, phase: messages.Phase | None) -> None:
        self._writes += 1
        if revision == self._written_revision and phase is not self._written_phase:
            self._turns += 1
        self._written_at = asyncio.get_running_loop().time()
        self._written_revision = revision
        self._written_phase = phase

    def _message(self, report: Report) -> messages.DeploymentState:
        return messages.DeploymentState(
            device_id=self._publisher.device_id,
            deployment=self._deployment,
            phase=report.phase,
            revision=report.revision,
            services=report.services,
            error=report.error,
            updated_at=self._publisher.now(),
        )

    def _complain(self, error: errors.FleetError, failures: int) -> None:
        """Say it once; the connection's own loss is logged where it is noticed."""
        if failures == 1:
            log.warning("state not told yet", key=self._key, reason=error.reason, error=str(error))


def _is_same(one: Report, other: Report) -> bool:
    """Tell whether two reports differ in nothing but how often services were restarted."""
    return (
        (one.revision, one.phase, one.error) == (other.revision, other.phase, other.error)
        and len(one.services) == len(other.services)
        and all(map(_is_same_service, one.services, other.services))
    )


def _is_same_service(one: messages.ServiceState, other: messages.ServiceState) -> bool:
    return one == other or msgspec.structs.replace(one, restarts=other.restarts) == other
