"""
Remember what failed per service of one deployment, and hold it back for a while.

A container that died counts as failed, unless it had run for `SETTLED_SECONDS`:
then it is started again at once. One with a health check has to have passed it
besides; as long as it hasn't, it is *unproven*. What is remembered of a service
goes when its digest changes, so newer intent never waits for the failures of an
older one.

One that ran for a while and died all the same, again and again, is failing too, whatever it does
in between: its deaths are *in a row* as long as no run of it was *steady*, which is twice as long
as the longest before, `SETTLED_SECONDS` at least and `STEADY_SECONDS` at most.

A container that is to go waits for nothing but a removal that failed: how often
its service died is no reason to leave it there. Newer intent forgets that, too.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fleet import errors
from fleet.agent.model import backoff
from fleet.agent.runtimes.podman import planning, reporting
from fleet.agent.runtimes.port import Container, Status

# Long enough to tell a service that works from one that falls over; a constant of taste.
SETTLED_SECONDS = 10.0
# A run that is as long as this is steady, however long others were: what kubelet takes, too.
STEADY_SECONDS = 600.0
# The first failure may be podman's own: what it was killed over it often mends at the next try.
_UNSTARTABLE = 2


@dataclass(slots=True)
class Record:
    """What is known of one service. *streak* counts failures in a row; times are the loop's."""

    digest: str
    streak: int = 0
    restarts: int = 0
    not_before: float = 0.0
    started_at: float | None = None
    """when it was started by us, or else first seen running"""
    begun_at: float | None = None
    """when it was started by us"""
    error: errors.FleetError | None = None
    death: tuple[str, int, int] | None = None
    exit_code: int = 0
    out_of_memory: bool = False
    deaths: int = 0
    """how many in a row"""
    longest: float = 0.0
    """for how long it ran between those, at most"""
    wait: float = 0.0
    """for how long the last failure holds it back"""
    other_nodes: int = 0
    """how many times in a row it was made anew as its node was another one"""
    stuck: int = 0
    """how many removals in a row failed"""
    removable_at: float = 0.0

    @property
    def steady(self) -> float:
        """For how long it has to run to be taken for one that works."""
        return min(STEADY_SECONDS, max(SETTLED_SECONDS, 2 * self.longest))

    @property
    def is_failing(self) -> bool:
        """Tell whether it has died too often in a row."""
        return self.deaths >= reporting.CRASHES_THAT_FAIL

    def settled_after(self) -> float:
        """Give the seconds that it has to run to count as settled."""
        return self.steady if self.is_failing else SETTLED_SECONDS

    def has_run(self, seconds: float, now: float) -> bool:
        """Tell whether it has run for so long since it was started."""
        return self.started_at is not None and now - self.started_at >= seconds


@dataclass(slots=True)
class RestartBackoff:
    """The records of one deployment. *random* gives the jitter."""

    random: backoff.Random
    records: dict[str, Record] = field(default_factory=dict)

    def expect(self, digests: Mapping[str, str]) -> None:
        """Forget services that aren't in *digests*, or have another digest there."""
        for service, digest in digests.items():
            record = self.records.get(service)
            if record is None or record.digest != digest:
                self.records[service] = Record(digest)
        for service in self.records.keys() - digests.keys():
            del self.records[service]

    def look(self, found: Iterable[Container], now: float, unproven: Collection[str] = ()) -> None:
        """Take note of containers that died since the last look, and of those that settled."""
        for container in found:
            record = self.records.get(container.service)
            if record is None or record.digest != container.digest:
                continue
            is_proven = container.service not in unproven
            if not container.has_other_node and _runs_settled(record, container, now):
                record.other_nodes = 0
            if container.status is Status.EXITED:
                self._note_death(record, container, now, is_proven=is_proven)
            elif container.status is Status.RUNNING:
                self._note_running(record, now, is_proven=is_proven)

    def failed(self, service: str, error: errors.FleetError, now: float) -> None:
        """Note that an action for *service* failed."""
        record = self.records.get(service)
        if record is not None:
            record.error = error
            self._hold(record, now)

    def not_removed(self, service: str, error: errors.FleetError, now: float) -> None:
        """Note that the container of *service* could not be removed."""
        record = self.records.get(service)
        if record is not None:
            record.error = error
            record.stuck += 1
            record.removable_at = now + self._delay(record.stuck, error)

    def other_node(self, service: str, now: float) -> None:
        """
        Note that the container of *service* had to go, as its node was another one.

        That is no failure of it: only the next one waits, where this happens again and again.
        """
        record = self.records.get(service)
        if record is not None:
            record.other_nodes += 1
            wait = backoff.RETRYABLE.delay(record.other_nodes, self.random)
            record.not_before = max(record.not_before, now + wait)

    def renew(self) -> None:
        """Take note of newer intent: removals that failed are tried at once."""
        for record in self.records.values():
            record.stuck, record.removable_at = 0, 0.0

    def started(self, service: str, now: float, *, again: bool) -> None:
        """Note that the container of *service* was started."""
        record = self.records.get(service)
        if record is not None:
            if record.removable_at <= now:  # otherwise it is the old one that serves on
                record.error = None
            record.started_at = record.begun_at = now
            record.restarts += again
            # Podman's times are in seconds: the next death may look just like the last one.
            record.death = None

    def restarted(self, service: str, error: errors.FleetError, now: float) -> None:
        """Note that the container of *service* was restarted for *error*, which stands."""
        self.started(service, now, again=True)
        self.failed(service, error, now)

    def seen(self) -> frozenset[str]:
        """List the services that were started by us, or seen running."""
        return frozenset(s for s, r in self.records.items() if r.started_at is not None)

    def held(self, now: float) -> frozenset[str]:
        """List the services that have to wait."""
        return frozenset(s for s, r in self.records.items() if r.not_before > now)

    def stuck(self, now: float) -> frozenset[str]:
        """List the services whose container can't be removed, and isn't tried yet again."""
        return frozenset(s for s, r in self.records.items() if r.removable_at > now)

    def unstartable(self) -> frozenset[str]:
        """List the services that failed to start, or to be made, more than once in a row."""
        return frozenset(
            service
            for service, record in self.records.items()
            if record.streak >= _UNSTARTABLE and isinstance(record.error, errors.ContainerFailed)
        )

    def is_settled(self, service: str, now: float) -> bool:
        """Tell whether *service* has not failed lately."""
        record = self.records.get(service)
        if record is None or not (record.streak or record.is_failing):
            return True
        return record.has_run(record.settled_after(), now)

    def next_look(self, now: float) -> float | None:
        """Give the time at which a service is no longer held, or settled; None if there is none."""
        times = [r.not_before for r in self.records.values()]
        times += [r.removable_at for r in self.records.values()]
        times += [
            r.started_at + r.settled_after()
            for r in self.records.values()
            if (r.streak or r.is_failing) and r.started_at is not None
        ]
        return min((t for t in times if t > now), default=None)

    def _note_death(
        self, record: Record, container: Container, now: float, *, is_proven: bool
    ) -> None:
        death = (container.id, container.started, container.finished)
        if death == record.death:
            return
        record.death, record.exit_code = death, container.exit_code
        record.out_of_memory = container.out_of_memory
        restarts = planning.restarts(container.restart_policy, container.exit_code)
        if restarts:
            self._count(record, _run_seconds(record, container, now))
        if is_proven and _ran_long(record, container, now):
            record.streak, record.wait, record.not_before = 0, 0.0, now
        elif restarts:
            self._hold(record, now)

    @staticmethod
    def _count(record: Record, ran_for: float) -> None:
        if ran_for >= record.steady:
            record.deaths, record.longest = 0, 0.0
        record.deaths += 1
        record.longest = max(record.longest, ran_for)

    def _note_running(self, record: Record, now: float, *, is_proven: bool) -> None:
        if record.started_at is None:
            record.started_at = now
        if not is_proven:
            return
        if not record.stuck:  # otherwise it runs, and is to go all the same
            record.error = None
        if record.has_run(SETTLED_SECONDS, now):
            record.streak = 0
        if record.has_run(record.steady, now):
            record.deaths, record.longest = 0, 0.0

    def _hold(self, record: Record, now: float) -> None:
        record.streak += 1
        record.wait = self._delay(record.streak, record.error)
        record.not_before = now + record.wait

    def _delay(self, failures: int, error: errors.FleetError | None) -> float:
        return backoff.policy(error).delay(failures, self.random)


def _runs_settled(record: Record, container: Container, now: float) -> bool:
    return container.status is Status.RUNNING and record.has_run(SETTLED_SECONDS, now)


def _run_seconds(record: Record, container: Container, now: float) -> float:
    """
    Tell for how long a container that died had run, no longer than matters.

    A clock that was set meanwhile adds no more than the time that passed for us.
    """
    passed = STEADY_SECONDS if record.begun_at is None else now - record.begun_at
    return min(container.ran_for, passed, STEADY_SECONDS)


def _ran_long(record: Record, container: Container, now: float) -> bool:
    """
    Tell whether a container that died had settled before.

    Its times are the device's, whose clock may be set meanwhile. We may hear of a death late,
    but time that passed for us can't have jumped: of a start of ours both have to say so, or
    ours alone where the clock was set back.
    """
    has_settled = container.ran_for >= SETTLED_SECONDS
    if record.begun_at is None:
        return has_settled
    was_set_back = container.finished < container.started
    return now - record.begun_at >= SETTLED_SECONDS and (has_settled or was_set_back)
