"""Put the agent together and run it."""

import asyncio
import random as stdlib_random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fleet.agent import backoff, intents, inventory, status_socket
from fleet.agent.describing import Describer
from fleet.agent.heartbeat import Heartbeat
from fleet.agent.images import Images, Keeping
from fleet.agent.journal import Journal, MemoryStore, Store
from fleet.agent.link import REPEAT_SECONDS, Link
from fleet.agent.loop import Loop, Rhythm
from fleet.agent.overview import Overview
from fleet.agent.roster import Roster
from fleet.agent.runtimes.port import Runtime
from fleet.agent.telling import Voice
from fleet.bus.port import Bus
from fleet.contracts import messages, scores
from fleet.contracts.names import DeploymentName, DeviceId


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
    spread: float = REPEAT_SECONDS,
    now: Callable[[], datetime] = _utc_now,
    random: backoff.Random = stdlib_random.random,
) -> None:
    """
    Keep this device as the hub wants it, until cancelled. Containers run on afterwards.

    *store* is where the journal lies; without one it ends with the process. In
    *state_dir* it answers `fleet-agent status`; *hub* is how that names the hub.
    """
    may_speak = asyncio.Event()
    states = bus.bucket(messages.DEVICE_STATE)
    voice = Voice(identity.device_id, states, now, may_speak, random)

    def make_loop(deployment: DeploymentName, intent: intents.Intent) -> Loop:
        return Loop(
            deployment,
            intent,
            runtime,
            voice,
            rhythm=rhythm,
            random=random,
            fetch=images.fetch,
            settled=journal.settled,
        )

    infos = bus.bucket(messages.DEVICE_INFO)
    describer = Describer(
        _describe(identity), infos, runtime, every=rhythm.check, now=now, random=random
    )
    journal = Journal(identity.device_id, store or MemoryStore(), describer.problems, random)
    roster = Roster(runtime, journal, make_loop, random)
    images = Images(runtime, keeping, roster.images)
    link = Link(
        identity.device_id,
        bus.bucket(messages.DESIRED_STATE),
        roster,
        may_speak=may_speak,
        on_again=describer.repeat,
        random=random,
        spread=spread,
    )
    heartbeat = Heartbeat(
        identity.device_id,
        identity.instance,
        bus.bucket(messages.DEVICE_HEARTBEAT),
        describer.problems,
        session=lambda: bus.session,
        on_again=link.say_again,
        now=now,
        random=random,
    )
    overview = Overview(
        identity.device_id, identity.version, bus, roster, describer.problems, hub=hub, now=now
    )
    recalled = await journal.load()
    async with asyncio.TaskGroup() as group:
        group.create_task(journal.run(), name="journal")
        roster.recall(recalled)
        group.create_task(roster.run(), name="roster")
        group.create_task(link.run(), name="link")
        group.create_task(describer.check(), name="check runtime")
        group.create_task(images.run(), name="images")
        group.create_task(overview.run(), name="overview")
        if state_dir is not None:
            group.create_task(status_socket.serve(state_dir, overview.snapshot), name="status")
        # These have nobody to talk to before; everything else works without.
        await bus.wait_for_session()
        group.create_task(describer.run(), name="describe")
        group.create_task(heartbeat.run(), name="heartbeat")


def _describe(identity: Identity) -> messages.DeviceInfo:
    return messages.DeviceInfo(
        device_id=identity.device_id,
        labels=identity.labels,
        instance=identity.instance,
        inventory=inventory.read(),
        agent_version=identity.version,
        score_types=tuple(sorted(scores.SCORE_TYPES)),
    )
