"""The bus is lost, wiped, purged, full of garbage: nothing is withdrawn, and all is told again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet import errors
from fleet.bus.streams import Sizing
from fleet.contracts import kv
from fleet.contracts.messages import Phase, ReconcileScore
from fleet.operator.watches.sync_barrier import Part
from lab.bench.simulated_device import SimulatedDevice
from tests.integration.operator.bus_scene import BusScene, bus_scene
from tests.unit.operator import making
from tests.unit.operator.fakes import FakeCluster
from tests.unit.operator.making import deployment_body
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)  # a server is restarted, on a busy machine

Trouble = Callable[[BusScene], Awaitable[None]]


@pytest.fixture
async def scene(tmp_path) -> AsyncIterator[BusScene]:
    async with bus_scene(tmp_path) as made:
        yield made


async def restarted(scene: BusScene) -> None:
    await scene.restart()


async def wiped(scene: BusScene) -> None:
    await scene.restart(wiped=True)


def purged(bucket: str) -> Trouble:
    async def trouble(scene: BusScene) -> None:
        await scene.purge(bucket)

    return trouble


def made_anew(bucket: str) -> Trouble:
    async def trouble(scene: BusScene) -> None:
        await scene.drop(bucket)

    return trouble


TROUBLES = [
    pytest.param(restarted, id="restarted"),
    pytest.param(wiped, id="wiped"),
    *[pytest.param(purged(bucket), id=f"{bucket} purged") for bucket in kv.BUCKETS],
    *[pytest.param(made_anew(bucket), id=f"{bucket} made anew") for bucket in kv.BUCKETS],
]


async def running(scene: BusScene, device: SimulatedDevice) -> ReconcileScore:
    """Have the device run what it is told, until the status says so."""
    wanted = await eventually(lambda: device.wanted("web"), "the device is told", within=30)
    await device.report("web", Phase.RUNNING, wanted.revision)
    await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
    return wanted


@pytest.mark.parametrize("part", Part)
async def test_nothing_is_withdrawn_while_one_listing_is_missing(scene: BusScene, part: Part):
    """With all the evidence there is: a deployment that doesn't match any more."""
    await scene.device.desired.put("d1.web", making.score())
    await scene.device.report("web", Phase.RUNNING, "x")
    await scene.cluster.apply_device(scene.device.id, {"site": "a"})
    scene.cluster.add(deployment_body(labels={"site": "elsewhere"}))
    await hide(scene, part)
    async with scene.running() as controller:
        # Devices are listed after deployments.
        unseen = {part, Part.DEVICES} if part is Part.DEPLOYMENTS else {part}
        await scene.until(lambda: set(controller.barrier.missing) == unseen, "the rest is listed")
        before = scene.cluster.writes.total()
        await asyncio.gather(*(scene.device.beat() for _ in range(20)), return_exceptions=True)
        assert scene.counter.counts["mark"] == 0
        assert scene.cluster.writes.total() == before
        await show(scene, part)
        if part in {Part.DESIRED_STATE, Part.DEVICE_STATE}:
            return  # what stood there is gone with the bucket
        await scene.until(lambda: scene.counter.counts["mark"] == 1, "then it is withdrawn")


async def hide(scene: BusScene, part: Part) -> None:
    if part in {Part.DEPLOYMENTS, Part.DEVICES}:
        scene.cluster.hidden.add(part)
    else:
        await scene.size(None)
        await scene.drop(part)


async def show(scene: BusScene, part: Part) -> None:
    scene.cluster.hidden.clear()
    await scene.size(Sizing())


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_nothing_is_withdrawn_and_all_is_told_again(scene: BusScene, trouble: Trouble):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        before = await running(scene, scene.device)

        await trouble(scene)
        device = await reachable(scene)
        resyncs = scene.counter.counts["resync"]
        await scene.until(lambda: scene.counter.counts["resync"] > resyncs + 2, "it is noticed")
        assert await running(scene, device) == before

        scene.cluster.add(deployment_body(image="web:2", generation=2, version=9999))
        await controller.informer.list_all()
        await eventually(lambda: is_told(scene, "web:2"), "what comes later arrives", within=30)
    assert scene.counter.counts["mark"] == 0


async def reachable(scene: BusScene) -> SimulatedDevice:
    """Wait until every bucket is there again, as an agent does."""

    async def look() -> bool:
        try:
            await scene.device.register({"site": "a"})
            await scene.device.forget("never-there")
            await scene.device.wanted("web")
        except errors.BusUnavailable:
            return False
        return True

    await eventually(look, "the buckets are there", within=30)
    return scene.device


async def is_told(scene: BusScene, image: str) -> bool:
    wanted = await scene.device.wanted("web")
    return wanted is not None and wanted.data["services"][0]["image"] == image


@pytest.mark.parametrize("forgetful", [False, True], ids=["with its store", "wiped"])
async def test_nobody_turns_stale_over_the_loss_of_a_server(scene: BusScene, forgetful: bool):
    scene.intervals = replace(scene.intervals, silence=timedelta(seconds=2))
    loop = asyncio.get_running_loop()
    with capture_logs() as logs:
        async with scene.running() as controller:
            beating = asyncio.create_task(scene.keep_beating())
            await scene.device.register({"site": "a"})
            await scene.until(lambda: "Heard" in str(scene.cluster.devices.get("d1")), "heard")
            scene.server.kill()
            since = loop.time()
            await scene.until(lambda: loop.time() - since > 2.5, "the interval passes")
            if forgetful:
                scene.server.wipe()
            scene.server.start()
            session = scene.bus.session + (not scene.bus.connected)
            await scene.bus.wait_for_session(after=session - 1)
            await scene.acts(controller)
            assert not silenced(logs)

            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            await scene.until(lambda: silenced(logs), "who is silent then is stale")
    assert controller.store.silent == {"d1"}


def silenced(logs: Sequence[Mapping[str, Any]]) -> bool:
    return any(entry["event"] == "device silent" for entry in logs)


async def test_two_operators_do_not_fight_and_lose_no_update(scene: BusScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as first, scene.running() as second:
        await scene.device.register({"site": "a"})
        await eventually(lambda: is_told(scene, "web:1"), "the device is told")
        for number in range(2, 12):
            image = f"web:{number}"
            body = deployment_body(image=image, generation=number, version=1000 + number)
            for controller in (first, second):
                controller.informer.deployment_event("MODIFIED", body)
            scene.cluster.add(body)
            await eventually(partial(is_told, scene, image), f"{image} is told")
        await scene.until(lambda: scene.counter.counts["putvalue"] == 11, "one put for each")

        for _ in range(3):
            for controller in (first, second):
                await scene.resync(controller)
        await scene.acts(first)
        assert scene.counter.counts["putvalue"] == 11
        assert scene.counter.counts["mark"] == 0


async def test_an_operator_that_lags_never_replaces_a_higher_generation(scene: BusScene):
    behind = FakeCluster()
    behind.add(deployment_body(image="web:1", generation=1))
    scene.cluster.add(deployment_body(image="web:2", generation=2))
    await scene.device.register({"site": "a"})
    async with scene.running(behind) as lagging:
        await eventually(lambda: is_told(scene, "web:1"), "the one that lags was first")
        async with scene.running():
            await eventually(lambda: is_told(scene, "web:2"), "the other one knows more")
            for _ in range(3):
                await scene.resync(lagging)
            behind.add(deployment_body("later", uid="u2"))
            await scene.resync(lagging)
            await scene.until_wanted("later")
            assert await is_told(scene, "web:2")
    assert scene.counter.counts["mark"] == 0


GARBAGE = [
    (kv.BUCKET_DESIRED_STATE, "nonsense", b"{}"),
    (kv.BUCKET_DESIRED_STATE, "a.b.c", b"{}"),
    (kv.BUCKET_DESIRED_STATE, "d7.web", b"\xff\x00"),
    (kv.BUCKET_DEVICE_INFO, "d1", b"{}"),
    (kv.BUCKET_DEVICE_INFO, "info.UPPER", b"{}"),
    (kv.BUCKET_DEVICE_INFO, "info.d1", b'{"device_id":"d2","labels":{}}'),
    (kv.BUCKET_DEVICE_INFO, "info.d7", b'{"device_id":"d7","labels":[1]}'),
    (kv.BUCKET_DEVICE_STATE, "state.d1", b"{}"),
    (kv.BUCKET_DEVICE_STATE, "state.d1.web", b'{"device_id":"d1","deployment":"other"}'),
    (kv.BUCKET_DEVICE_STATE, "state.d7.web", b"null"),
    (kv.BUCKET_DEVICE_HEARTBEAT, "beat", b"{}"),
    (kv.BUCKET_DEVICE_HEARTBEAT, "heartbeat.d1", b'{"device_id":"d1","at":[],"instance":7}'),
    (kv.BUCKET_DEVICE_HEARTBEAT, "heartbeat.d7", b"[]"),
]


async def test_garbage_in_every_bucket_is_told_once_and_harms_nobody(scene: BusScene):
    scene.cluster.add(deployment_body())
    with capture_logs() as logs:
        async with scene.running() as controller:
            await scene.device.register({"site": "a"})
            await running(scene, scene.device)
            for bucket, key, data in GARBAGE:
                await scene.post(bucket, key, data)
            stranger = SimulatedDevice(scene.bus, "stranger")
            await stranger.beat()
            await stranger.report("nothing", Phase.RUNNING, "x")

            await scene.until(lambda: all_counted(scene), "the garbage is counted, each replay")
            other = SimulatedDevice(scene.bus, "d2")
            await other.register({"site": "a"})
            await eventually(lambda: other.wanted("web"), "another device is served")
            assert set(controller.store.devices) == {"d1", "d2"}
            assert scene.cluster.status()["ready"] in {"1/1", "1/2"}
    told = [
        (entry["bucket"], entry["key"]) for entry in logs if entry["event"] == "value undecodable"
    ]
    # The operator's reader and no other logs; a valid value in between may tell a key again.
    assert sorted(set(told)) == sorted((bucket, key) for bucket, key, _ in GARBAGE)
    assert len(told) == len(set(told))
    assert scene.counter.counts["mark"] == 0


def all_counted(scene: BusScene) -> bool:
    """Tell whether all of it was read twice."""
    buckets = [bucket for bucket, _, _ in GARBAGE]
    counts = scene.counter.counts
    return all(counts[f"undecodable {each}"] >= 2 * buckets.count(each) for each in kv.BUCKETS)


async def test_a_full_bucket_is_told_and_work_goes_on_once_it_has_room(tmp_path):
    async with bus_scene(tmp_path, Sizing(max_bytes=20_000)) as scene:
        env = {"services": [{"name": "web", "image": "web:1", "args": ["x" * 900] * 4}]}
        bodies = []
        for number in range(8):
            body = deployment_body(f"big{number}", uid=f"u{number}")
            body["spec"]["score"]["data"] = env
            bodies.append(scene.cluster.add(body))
        with capture_logs() as logs:
            async with scene.running():
                await scene.device.register({"site": "a"})
                await scene.until(
                    lambda: scene.counter.counts["failed desired BucketFull"], "it is full"
                )
                await scene.until(
                    lambda: scene.counter.counts["stored desired-state"] > 10_000, "it is measured"
                )
                await scene.size(Sizing())
                for number in range(8):
                    await scene.until_wanted(f"big{number}")
        filling = [entry["bucket"] for entry in logs if entry["event"] == "bucket filling"]
        assert kv.BUCKET_DESIRED_STATE in filling
        failed = [entry["error"] for entry in logs if entry["event"] == "work failed"]
        assert any(
            "the bucket is full" in error and "desired-state/d1.big" in error for error in failed
        )


async def test_a_value_too_large_fails_alone(scene: BusScene):
    body = deployment_body("huge", uid="huge")
    args = ["x" * 4096] * 64
    services = [{"name": f"s{n}", "image": "web:1", "args": args} for n in range(2)]
    body["spec"]["score"]["data"] = {"services": services}
    scene.cluster.add(body)
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await running(scene, scene.device)
        await scene.until(
            lambda: scene.cluster.status("huge").get("reason") == "ValueTooLarge",
            "its size is told",
        )
        (accepted, *_) = scene.cluster.status("huge")["conditions"]
        assert accepted["status"] == "False"
        assert "at most 261120 are allowed" in accepted["message"]
        assert scene.counter.counts["failed desired ValueTooLarge"] == 0
        assert await scene.device.wanted("huge") is None
        await scene.acts(controller)
