"""A cold start with two thousand devices of five deployments: all is read, nothing is written."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from fleet.bus import jetstream
from fleet.contracts import kv, messages
from fleet.contracts.messages import DeploymentState, DeviceInfo, HeartbeatPayload, Message, Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.controller import Controller
from fleet.operator.decisions import registration
from fleet.operator.intervals import Intervals
from fleet.operator.model import custom_resources
from fleet.operator.model.presence import Hearing
from tests.integration.operator.bus_scene import BusScene, bus_scene
from tests.unit.operator.making import deployment_body

pytestmark = pytest.mark.timeout(180)  # two cores, shared

DEVICES = [DeviceId(f"d{number:04}") for number in range(2000)]
NAMES = [DeploymentName(f"web{number}") for number in range(5)]
KEYS = len(DEVICES) * len(NAMES)
AT_ONCE = 200


@pytest.fixture
async def scene(tmp_path) -> AsyncIterator[BusScene]:
    async with bus_scene(tmp_path) as made:
        made.intervals = Intervals()
        for name in NAMES:
            made.cluster.add(deployment_body(name, uid=name))
        await fill(made)
        yield made


async def test_what_is_so_already_is_read_and_nothing_is_written(scene: BusScene):
    async with scene.running() as controller:
        await settled(scene, controller)  # the deployments' statuses are written
        for name in NAMES:
            sums = controller.store.aggregate(name)
            assert (sums.matched, sums.running) == (len(DEVICES), len(DEVICES))
    assert scene.cluster.writes.pop("deployment status") <= 2 * len(NAMES)
    scene.counter.counts.clear()

    async with scene.running() as controller:
        await settled(scene, controller)
        assert len(controller.store.desired) == KEYS
        assert not controller.store.silent
    assert not {key: count for key, count in scene.cluster.writes.items() if key != "event"}
    assert not {"putvalue", "mark", "purge"} & set(scene.counter.counts)


async def settled(scene: BusScene, controller: Controller) -> None:
    """Wait until everything was listed and compared, and all that came of it was done."""
    await scene.until(lambda: not controller.barrier.missing, "everything was listed")
    for queue in ("devices", "descriptions"):
        await scene.until(partial(all_were_seen, scene, queue), f"all devices: {queue}")
    await scene.until(partial(all_are_ready, scene), "all statuses are right")


def all_were_seen(scene: BusScene, queue: str) -> bool:
    return scene.counter.counts[f"worked {queue}"] >= len(DEVICES)


def all_are_ready(scene: BusScene) -> bool:
    ready = f"{len(DEVICES)}/{len(DEVICES)}"
    return all(scene.cluster.status(name).get("ready") == ready for name in NAMES)


async def register(scene: BusScene, info: DeviceInfo, now: datetime) -> None:
    """Make the object as an operator left it that heard the device."""
    body = await scene.cluster.apply_device(info.device_id, info.labels)
    status = registration.status_to_apply(
        info,
        custom_resources.parse_device(body),
        Hearing.HEARD,
        heard_at=now,
        now=now,
        deployments=f"{len(NAMES)}/{len(NAMES)}",
    )
    assert status is not None
    await scene.cluster.apply_device_status(info.device_id, status)


async def fill(scene: BusScene) -> None:
    """Write what agents and an operator wrote before."""
    now = datetime.now(UTC)
    written: list[tuple[messages.Codec[Any], str, Message]] = []
    scores = {
        name: custom_resources.parse_deployment(scene.cluster.deployments[name]).score
        for name in NAMES
    }
    for device in DEVICES:
        info = DeviceInfo(device_id=device, labels={"site": "a"}, instance="sim", updated_at=now)
        await register(scene, info, now)
        written.append((messages.DEVICE_INFO, kv.device_info_key(device), info))
        beat = HeartbeatPayload(device_id=device, at=now, instance="sim")
        written.append((messages.DEVICE_HEARTBEAT, kv.device_heartbeat_key(device), beat))
        for name, score in scores.items():
            assert score is not None
            written.append((messages.DESIRED_STATE, kv.desired_state_key(device, name), score))
            state = DeploymentState(
                device_id=device,
                deployment=name,
                phase=Phase.RUNNING,
                revision=score.revision,
                updated_at=now,
            )
            written.append((messages.DEVICE_STATE, kv.device_state_key(device, name), state))
    for start in range(0, len(written), AT_ONCE):
        batch = written[start : start + AT_ONCE]
        await asyncio.gather(*(put(scene, *each) for each in batch))
    scene.cluster.writes.clear()


async def put(scene: BusScene, codec: messages.Codec[Any], key: str, value: Message) -> None:
    subject = jetstream.subject(codec.bucket, key)
    reply = await scene.admin.require().request(subject, codec.encode(value))
    jetstream.read_reply(reply.data)
