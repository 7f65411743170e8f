"""The controller over a bus and a cluster in memory: what it does, and what it must not do yet."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from fleet import errors
from fleet.contracts import kv, messages
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from fleet.operator.controller import Controller
from fleet.operator.decisions.coalescing import Coalescing
from fleet.operator.decisions.event_correlator import Post
from fleet.operator.watches.sync_barrier import Part
from lab.bench.simulated_device import SimulatedDevice
from tests.unit.operator.fakes import FakeCluster
from tests.unit.operator.making import deployment_body
from tests.unit.operator.scene import MemoryScene
from tests.waiting import eventually


@pytest.fixture
async def scene() -> AsyncIterator[MemoryScene]:
    made = MemoryScene()
    yield made
    await made.bus.close()


async def test_a_deployment_becomes_desired_state_and_a_report_its_status(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
    assert scene.cluster.devices["d1"]["metadata"]["labels"] == {"site": "a"}


async def test_nothing_is_written_before_everything_was_listed(scene: MemoryScene):
    await scene.device.register({"site": "a"})
    await scene.device.report("forgotten", Phase.RUNNING, "x")
    scene.cluster.unlistable = errors.ClusterUnavailable("not now")
    deployment = scene.cluster.add(deployment_body())
    device = dict(await scene.cluster.apply_device(scene.device.id, {"site": "a"}))
    scene.cluster.writes.clear()
    async with scene.running() as controller:
        await scene.until(
            lambda: set(controller.barrier.missing) == {Part.DEPLOYMENTS, Part.DEVICES},
            "the buckets are listed",
        )
        controller.informer.device_event("ADDED", device)
        controller.informer.deployment_event("ADDED", deployment)
        for _ in range(200):  # turns of the loop, of which a write takes a handful
            await asyncio.sleep(0)
        assert await scene.device.wanted("web") is None
        assert not await scene.is_marked("forgotten")
        assert not scene.cluster.writes

        scene.cluster.unlistable = None
        await controller.informer.list_all()
        await scene.until_wanted()
        await scene.until(lambda: scene.counter.orphaned == 1, "the forgotten one is an orphan")
        await scene.until(lambda: len(scene.cluster.writes) == 2, "both statuses are written")


async def test_a_restart_writes_nothing_again(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
        await scene.until(lambda: "Heard" in str(scene.cluster.devices["d1"]), "heard")
        await scene.until(lambda: scene.summary().get("deployments") == "1/1", "1/1")
    scene.cluster.writes.clear()
    scene.counter.counts.clear()

    async with scene.running() as controller:
        await controller.barrier.opened()
        scene.cluster.add(deployment_body("later", uid="u2", labels={"site": "nowhere"}))
        await controller.informer.list_all()
        await scene.until(lambda: scene.cluster.status("u2"), "it acts")
    assert scene.cluster.writes == {"deployment status": 1}
    assert scene.counter.counts["putvalue"] == 0


async def test_a_device_says_how_many_deployments_run_there(scene: MemoryScene):
    for name in ("web", "other"):
        scene.cluster.add(deployment_body(name, uid=name))
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted("web")
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.summary().get("deployments") == "1/2", "1/2")
    assert scene.summary()["labels"] == "site=a"


async def test_a_count_that_is_the_same_again_before_it_settled_writes_nothing(
    scene: MemoryScene,
):
    scene.cluster.add(deployment_body())
    scene.paces = replace(scene.paces, loads=Coalescing(settle=1.0, portion=50))
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
        scene.now += 1.0
        await scene.until(lambda: scene.summary().get("deployments") == "1/1", "1/1")
        before = scene.cluster.writes["device status"]

        await scene.device.report("web", Phase.PENDING, wanted.revision)
        await scene.until(lambda: scene.cluster.status()["ready"] == "0/1", "0/1")
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status()["ready"] == "1/1", "1/1")
        scene.now += 1.0
        await scene.until(lambda: not controller.unsettled, "the count has settled")
        await scene.acts(controller)
    assert scene.cluster.writes["device status"] == before


async def test_heartbeats_reach_no_api_server(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await scene.until(lambda: scene.summary().get("deployments") == "0/1", "0/1")
        await scene.until(lambda: scene.summary()["lastHeard"] == "now", "heard")
        await scene.acts(controller)
        scene.cluster.writes.clear()
        for _ in range(20):
            await scene.device.beat()
        await scene.acts(controller)
    assert set(scene.cluster.writes) <= {"deployment status"}  # of the one that it acts on


async def test_a_bucket_that_is_wiped_is_filled_again(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        before = await scene.until_wanted()
        scene.server.drop_buckets()
        scene.server.make_buckets()
        assert await scene.until_wanted() == before


async def test_a_failed_relist_keeps_the_view(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await scene.until_wanted()
        scene.cluster.broken = errors.ClusterUnavailable("not now")
        with pytest.raises(errors.ClusterUnavailable):
            await controller.informer.list_all()
        assert set(controller.store.deployments) == {"u1"}
        assert not await scene.is_marked()


async def test_a_device_object_that_vanished_stops_nothing(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        scene.cluster.devices.clear()
        await scene.device.infos.delete(kv.device_info_key(scene.device.id))
        await scene.until(lambda: not controller.store.infos, "the info is gone")
        await controller.informer.list_all()
        await scene.until(lambda: scene.cluster.status()["ready"] == "0/0", "it matches nothing")
        assert await scene.device.wanted("web") == wanted


async def test_a_deployment_that_vanished_is_an_orphan_and_stops_nothing(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        scene.cluster.deployments.clear()
        await controller.informer.list_all()
        await scene.until(lambda: scene.counter.orphaned == 1, "the orphan is reported")
        assert await scene.device.wanted("web") == wanted


async def test_a_definition_that_goes_takes_the_objects_and_leaves_the_devices_alone(
    scene: MemoryScene,
):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")

        scene.cluster.undefined = {"deployments", "devices"}
        controller.informer.deployment_event("MODIFIED", deployment_body(deleted=1, version=9999))
        left = await leave(scene, controller)
        async with asyncio.timeout(10):
            await controller.released("u1")
            await left
        controller.informer.deployment_event("DELETED", scene.cluster.deployments.pop("u1"))
        controller.informer.device_event("DELETED", scene.cluster.devices.pop("d1"))
        assert await scene.device.wanted("web") == wanted
        assert scene.device.id in controller.store.infos

        scene.cluster.undefined.clear()
        scene.cluster.add(deployment_body(uid="again"))
        await controller.informer.list_all()
        await scene.until(lambda: scene.cluster.devices.get("d1"), "the device is made again")
        await scene.until(
            lambda: scene.cluster.status("again").get("ready") == "1/1", "it was adopted"
        )
        adopted = await scene.until_wanted()
        assert adopted.revision == wanted.revision


async def leave(scene: MemoryScene, controller: Controller) -> "asyncio.Task[None]":
    """Delete the `Device`, as kopf tells of it."""
    body = dict(scene.cluster.devices["d1"])
    body["metadata"] = {**body["metadata"], "deletionTimestamp": "2999-01-01T00:00:00Z"}
    body["metadata"]["resourceVersion"] = "9999"
    controller.informer.device_event("MODIFIED", body)
    return asyncio.create_task(controller.decommissioned(body["metadata"]["uid"]))


async def test_a_device_is_not_made_again_until_its_agent_says_what_it_is(scene: MemoryScene):
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await scene.until(lambda: scene.cluster.devices.get("d1"), "it is registered")
        left = await leave(scene, controller)
        async with asyncio.timeout(10):
            await left
        body = scene.cluster.devices.pop("d1")
        controller.informer.device_event("DELETED", body)
        await scene.device.beat()
        await SimulatedDevice(scene.bus, "d2").register({"site": "a"})
        await scene.until(lambda: scene.cluster.devices.get("d2"), "another one is registered")
        assert "d1" not in scene.cluster.devices

        await scene.device.register({"site": "a"})
        await scene.until(lambda: scene.cluster.devices.get("d1"), "it registers anew")


async def test_nobody_waits_for_a_device_whose_finalizer_was_taken_off_by_hand(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
        left = await leave(scene, controller)
        await eventually(scene.is_marked, "the device is told to stop")
        assert not left.done()
        controller.informer.device_event("DELETED", scene.cluster.devices.pop("d1"))
        async with asyncio.timeout(10):
            await left


async def test_what_an_agent_says_of_itself_while_its_keys_are_swept_counts(scene: MemoryScene):
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await scene.until(lambda: scene.cluster.devices.get("d1"), "it is registered")
        left = await leave(scene, controller)
        async with asyncio.timeout(10):
            await left
        await scene.device.register({"site": "a"})  # before its object is gone
        await scene.until(lambda: "d1" in controller.store.infos, "the info is heard")
        controller.informer.device_event("DELETED", scene.cluster.devices.pop("d1"))
        await scene.until(lambda: scene.cluster.devices.get("d1"), "it registers anew")


async def test_another_writer_of_the_same_key_is_noticed(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        other = messages.ReconcileScore(
            type="PodmanV0", data={"services": []}, revision="other", owner=wanted.owner
        )
        key = kv.desired_state_key(scene.device.id, DeploymentName("web"))
        await scene.device.desired.put(key, other)

        async def put_right() -> bool:
            return await scene.device.wanted("web") == wanted

        await eventually(put_right, "the value is put right")


class Speechless(FakeCluster):
    """Takes Events, and never answers."""

    async def post_event(self, post: Post) -> None:
        """Keep it waiting."""
        self.writes[f"event {post.event.reason}"] += 1
        await asyncio.Event().wait()


async def test_no_status_waits_for_an_event(scene: MemoryScene):
    scene.cluster = Speechless()
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.writes["event Available"], "an event waits")
        await scene.device.report("web", Phase.FAILED, wanted.revision)
        await scene.until(lambda: scene.cluster.status()["ready"] == "0/1", "0/1")
        await scene.until(lambda: "Heard" in str(scene.cluster.devices["d1"]), "heard")


async def test_many_reports_make_few_statuses(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running():
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        before = scene.cluster.writes["deployment status"]
        for _ in range(100):
            await scene.device.report("web", Phase.PENDING, wanted.revision)
            await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
        assert scene.cluster.writes["deployment status"] - before < 50


async def test_the_end_of_a_deployment_waits_for_its_device(scene: MemoryScene):
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        wanted = await scene.until_wanted()
        await scene.device.report("web", Phase.RUNNING, wanted.revision)
        await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", "1/1")
        deleted = deployment_body(deleted=0, version=9999)
        deleted["metadata"]["deletionTimestamp"] = "2999-01-01T00:00:00Z"
        controller.informer.deployment_event("MODIFIED", deleted)
        released = asyncio.create_task(controller.released("u1"))
        await eventually(scene.is_marked, "the device is told to stop")
        assert not released.done()
        await scene.device.forget("web")
        async with asyncio.timeout(10):
            await released


@pytest.mark.parametrize("status", [{}, {"ready": "99/99", "reason": "Sabotage"}], ids=str)
async def test_a_status_changed_by_somebody_else_is_put_right_at_the_next_resync(
    scene: MemoryScene, status: dict[str, str]
):
    """Without an event: the watch missed it."""
    scene.cluster.add(deployment_body())
    async with scene.running() as controller:
        await scene.device.register({"site": "a"})
        await scene.until(lambda: scene.cluster.status().get("ready") == "0/1", "0/1")
        await scene.until(lambda: "Heard" in str(scene.cluster.devices["d1"]), "heard")
        before = scene.cluster.status(), scene.cluster.devices["d1"]["status"]
        for kept, key in ((scene.cluster.deployments, "u1"), (scene.cluster.devices, "d1")):
            metadata = {**kept[key]["metadata"], "resourceVersion": "5000"}
            kept[key] = {**kept[key], "metadata": metadata, "status": dict(status)}
        await scene.resync(controller)
        await scene.until(
            lambda: {**scene.cluster.status(), "conditions": 0} == {**before[0], "conditions": 0},
            "the deployment's status is right again",
        )
        await scene.until(
            lambda: scene.cluster.devices["d1"]["status"].keys() == before[1].keys(),
            "the device's status is right again",
        )


async def test_what_does_not_decode_is_counted_by_its_bucket(scene: MemoryScene):
    scene.server.write_raw(kv.BUCKET_DEVICE_INFO, "info.d9", b"junk")
    async with scene.running():
        await scene.until(lambda: scene.counter.counts["undecodable device-info"], "it is counted")
