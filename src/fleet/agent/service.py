"""Put the agent together and run it."""

import asyncio
import random as stdlib_random
import uuid
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from fleet.agent.deployments.dispatcher import Dispatcher
from fleet.agent.deployments.leftovers import Leftovers
from fleet.agent.deployments.loop import Loop, Rhythm
from fleet.agent.device import inventory, status_socket
from fleet.agent.device.status_overview import Overview
from fleet.agent.hub.desired_watch import DesiredWatch
from fleet.agent.hub.device_info import DeviceInfoPublisher
from fleet.agent.hub.heartbeat import Heartbeat
from fleet.agent.hub.internal_errors import InternalErrors
from fleet.agent.hub.state_publisher import StatePublisher
from fleet.agent.journal.journal import Journal
from fleet.agent.journal.store import MemoryStore, Store
from fleet.agent.model import backoff, intents
from fleet.agent.runtimes.podman.images import Images, Keeping
from fleet.agent.runtimes.port import Runtime
from fleet.bus.port import Bus
from fleet.contracts import messages, scores
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failures
from fleet.supervision.pulse import Pulse
from fleet.supervision.supervisor import Supervisor


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this agent is. *instance* is new with each process."""

    device_id: DeviceId
    labels: dict[str, str] = field(default_factory=dict)
    version: str = ""
    instance: str = field(default_factory=lambda: uuid.uuid4().hex)


async def run(
    identity: Identity,
    runtime: Runtime,
    bus: Bus,
    store: Store | None = None,
    *,
    records: Store | None = None,
    state_dir: Path | None = None,
    hub: str = "",
    rhythm: Rhythm = Rhythm(),  # noqa: B008 - frozen
    keeping: Keeping = Keeping(),  # noqa: B008 - frozen
    spread: float = 0.0,
    heartbeat_interval: float = 10.0,
    now: Callable[[], datetime] = _utc_now,
    random: backoff.Random = stdlib_random.random,
    failures: Failures | None = None,
    on_beat: Callable[[], None] = lambda: None,
) -> None:
    """
    Keep this device as the hub wants it, until cancelled. Containers run on afterwards.

    Each part is run again when it fails. *on_beat* is called every second by the event loop.

    *store* and *records* are where the journal lies; without, it ends with the process. In
    *state_dir* it answers `fleet-agent status`; *hub* is how that names the hub. *spread*
    is over how many seconds a fleet's agents tell what they all would tell at one instant,
    *heartbeat_interval* the seconds between two heartbeats.

    :raises supervisor.Ended: a part ended for good.
    """
    agent = _Agent(
        identity,
        runtime,
        bus,
        store or MemoryStore(),
        failures or Failures(),
        records=records or MemoryStore(),
        rhythm=rhythm,
        keeping=keeping,
        hub=hub,
        spread=spread,
        heartbeat_interval=heartbeat_interval,
        now=now,
        random=random,
    )
    await agent.run(state_dir, on_beat)


class _Agent:
    """The parts, wired: what the hub wants goes down, what is so goes up."""

    def __init__(
        self,
        identity: Identity,
        runtime: Runtime,
        bus: Bus,
        store: Store,
        failures: Failures,
        *,
        records: Store,
        rhythm: Rhythm,
        keeping: Keeping,
        hub: str,
        spread: float,
        heartbeat_interval: float,
        now: Callable[[], datetime],
        random: backoff.Random,
    ) -> None:
        self._runtime = runtime
        self._bus = bus
        self._failures = failures
        self._rhythm = rhythm
        self._random = random
        self._supervisor = Supervisor(failures, backoff.EAGER, random=random)
        device = identity.device_id
        may_speak = asyncio.Event()
        self._states = StatePublisher(
            device, bus.bucket(messages.DEVICE_STATE), now, may_speak, random, failures=failures
        )
        self._info = DeviceInfoPublisher(
            _describe(identity),
            bus.bucket(messages.DEVICE_INFO),
            runtime,
            every=rhythm.check,
            now=now,
            random=random,
            spread=spread,
        )
        problems = self._info.problems
        failures.add_watcher(InternalErrors(failures, problems))
        self._journal = Journal(device, store, problems, random, failures, beside=records)
        self._dispatcher = Dispatcher(
            runtime, self._journal, self._make_loop, random, self._supervisor
        )
        self._images = Images(runtime, keeping, self._dispatcher.images)
        self._leftovers = Leftovers(runtime, self._dispatcher.intent)
        self._desired = DesiredWatch(
            device,
            bus.bucket(messages.DESIRED_STATE),
            self._dispatcher,
            may_speak=may_speak,
            on_again=self._info.repeat,
            random=random,
            spread=spread,
            failures=failures,
        )
        self._heartbeat = Heartbeat(
            device,
            identity.instance,
            bus.bucket(messages.DEVICE_HEARTBEAT),
            problems,
            session=lambda: bus.session,
            on_again=self._desired.say_again,
            now=now,
            random=random,
            interval=heartbeat_interval,
        )
        self._overview = Overview(
            device, identity.version, bus, self._dispatcher, problems, hub=hub, now=now
        )

    async def run(self, state_dir: Path | None, on_beat: Callable[[], None]) -> None:
        """Run all parts; see `run`."""
        recalled: dict[DeploymentName, intents.Intent] = {}
        with self._failures.contained("journal"):
            recalled = await self._journal.load()
            self._runtime.vouch(self._journal.former_ids)
        pulse = Pulse(asyncio.get_running_loop().time, [on_beat, self._failures.expire])
        async with self._supervisor as supervisor:
            supervisor.start("pulse", pulse.run)
            supervisor.start("journal", self._journal.run)
            self._dispatcher.recall(recalled)
            supervisor.start("dispatcher", self._dispatcher.run)
            supervisor.start("desired state", self._desired.run)
            supervisor.start("runtime", self._info.check)
            supervisor.start("images", self._images.run)
            supervisor.start("leftovers", self._leftovers.run)
            supervisor.start("overview", self._overview.run)
            if state_dir is not None:
                serve = partial(
                    status_socket.serve, state_dir, self._overview.snapshot, self._failures
                )
                supervisor.start(status_socket.PART, serve)
            # These have nobody to talk to before; everything else works without.
            supervisor.start("device info", partial(_in_session, self._bus, self._info.run))
            supervisor.start("heartbeat", partial(_in_session, self._bus, self._heartbeat.run))

    def _make_loop(self, deployment: DeploymentName, intent: intents.Intent) -> Loop:
        return Loop(
            deployment,
            intent,
            self._runtime,
            self._states,
            rhythm=self._rhythm,
            random=self._random,
            fetch=self._images.fetch,
            journal=self._journal,
            memory=self._journal.memory(deployment),
            failures=self._failures,
        )


async def _in_session(bus: Bus, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await bus.wait_for_session()
    await run()


def _describe(identity: Identity) -> messages.DeviceInfo:
    return messages.DeviceInfo(
        device_id=identity.device_id,
        labels=identity.labels,
        instance=identity.instance,
        inventory=inventory.read(),
        agent_version=identity.version,
        score_types=tuple(sorted(scores.SCORE_TYPES)),
    )
