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
from fleet.agent.deployments.loop import Loop, Rhythm
from fleet.agent.device import inventory, status_socket
from fleet.agent.device.status_overview import Overview
from fleet.agent.hub.desired_watch import DesiredWatch
from fleet.agent.hub.device_info import DeviceInfoPublisher
from fleet.agent.hub.heartbeat import Heartbeat
from fleet.agent.hub.internal_errors import InternalErrors
from fleet.agent.hub.state_publisher import StatePublisher
from fleet.agent.journal.journal import Journal, MemoryStore, Store
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
    state_dir: Path | None = None,
    hub: str = "",
    rhythm: Rhythm = Rhythm(),  # noqa: B008 - frozen
    keeping: Keeping = Keeping(),  # noqa: B008 - frozen
    spread: float = 0.0,
    now: Callable[[], datetime] = _utc_now,
    random: backoff.Random = stdlib_random.random,
    failures: Failures | None = None,
    on_beat: Callable[[], None] = lambda: None,
) -> None:
    """
    Keep this device as the hub wants it, until cancelled. Containers run on afterwards.

    Each part is run again when it fails. *on_beat* is called every second by the event loop.

    *store* is where the journal lies; without one it ends with the process. In
    *state_dir* it answers `fleet-agent status`; *hub* is how that names the hub. *spread*
    is over how many seconds a fleet's agents tell what they all would tell at one instant.

    :raises supervisor.Ended: a part ended for good.
    """
    failures = failures or Failures()
    supervisor = Supervisor(failures, backoff.EAGER, random=random)
    may_speak = asyncio.Event()
    states = bus.bucket(messages.DEVICE_STATE)
    publisher = StatePublisher(
        identity.device_id, states, now, may_speak, random, failures=failures
    )

    def make_loop(deployment: DeploymentName, intent: intents.Intent) -> Loop:
        return Loop(
            deployment,
            intent,
            runtime,
            publisher,
            rhythm=rhythm,
            random=random,
            fetch=images.fetch,
            settled=journal.settled,
            failures=failures,
        )

    infos = bus.bucket(messages.DEVICE_INFO)
    info_publisher = DeviceInfoPublisher(
        _describe(identity),
        infos,
        runtime,
        every=rhythm.check,
        now=now,
        random=random,
        spread=spread,
    )
    failures.add_watcher(InternalErrors(failures, info_publisher.problems))
    journal = Journal(
        identity.device_id, store or MemoryStore(), info_publisher.problems, random, failures
    )
    dispatcher = Dispatcher(runtime, journal, make_loop, random, supervisor)
    images = Images(runtime, keeping, dispatcher.images)
    link = DesiredWatch(
        identity.device_id,
        bus.bucket(messages.DESIRED_STATE),
        dispatcher,
        may_speak=may_speak,
        on_again=info_publisher.repeat,
        random=random,
        spread=spread,
        failures=failures,
    )
    heartbeat = Heartbeat(
        identity.device_id,
        identity.instance,
        bus.bucket(messages.DEVICE_HEARTBEAT),
        info_publisher.problems,
        session=lambda: bus.session,
        on_again=link.say_again,
        now=now,
        random=random,
    )
    overview = Overview(
        identity.device_id,
        identity.version,
        bus,
        dispatcher,
        info_publisher.problems,
        hub=hub,
        now=now,
    )
    recalled: dict[DeploymentName, intents.Intent] = {}
    with failures.contained("journal"):
        recalled = await journal.load()
    pulse = Pulse(asyncio.get_running_loop().time, [on_beat, failures.expire])
    async with supervisor:
        supervisor.start("pulse", pulse.run)
        supervisor.start("journal", journal.run)
        dispatcher.recall(recalled)
        supervisor.start("dispatcher", dispatcher.run)
        supervisor.start("desired state", link.run)
        supervisor.start("runtime", info_publisher.check)
        supervisor.start("images", images.run)
        supervisor.start("overview", overview.run)
        if state_dir is not None:
            serve = partial(status_socket.serve, state_dir, overview.snapshot, failures)
            supervisor.start(status_socket.PART, serve)
        # These have nobody to talk to before; everything else works without.
        supervisor.start("device info", partial(_in_session, bus, info_publisher.run))
        supervisor.start("heartbeat", partial(_in_session, bus, heartbeat.run))


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
