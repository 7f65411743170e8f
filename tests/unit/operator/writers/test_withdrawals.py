"""Withdrawals that labels alone ask for: both are read again first, once for a whole burst."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.operator.controller import Controller
from tests.unit.operator.making import deployment_body
from tests.unit.operator.scene import MemoryScene

COUNT = 50


@pytest.fixture
async def scene() -> AsyncIterator[MemoryScene]:
    """Have many devices run one deployment."""
    made = MemoryScene()
    made.cluster.add(deployment_body())
    for number in range(COUNT):
        await made.cluster.apply_device(DeviceId(f"many-{number}"), {"site": "a"})
    yield made
    await made.bus.close()


def change(scene: MemoryScene, site: str, generation: int) -> dict[str, Any]:
    """Have somebody change the selector."""
    before = scene.cluster.deployments["u1"]
    version = int(before["metadata"]["resourceVersion"])
    body = deployment_body(labels={"site": site}, generation=generation, version=version)
    scene.cluster.deployments["u1"] = {**body, "status": before.get("status") or {}}
    return scene.cluster.deployments["u1"]


async def leave(scene: MemoryScene, controller: Controller) -> None:
    """Have the selector leave all devices, as the watch tells of it."""
    await scene.until(lambda: len(controller.store.desired) == COUNT, "all have it")
    scene.cluster.lists.clear()
    controller.informer.deployment_event("MODIFIED", change(scene, "b", 2))


async def test_a_selector_that_leaves_many_devices_costs_one_list(scene: MemoryScene):
    async with scene.running() as controller:
        await leave(scene, controller)
        await scene.until(lambda: scene.counter.counts["mark"] == COUNT, "all are withdrawn")
    assert scene.cluster.lists == {"devices": 1}
    assert scene.cluster.reads == {"deployment": 1}


async def test_nothing_is_withdrawn_while_nobody_can_be_asked(scene: MemoryScene):
    async with scene.running() as controller:
        await leave(scene, controller)
        scene.cluster.unlistable = errors.ClusterUnavailable("not now")
        failed = f"failed withdrawals {errors.ClusterUnavailable.reason}"
        await scene.until(lambda: scene.counter.counts[failed], "nobody could be asked")
        assert not scene.counter.counts["mark"]
        scene.cluster.unlistable = None
        await scene.until(lambda: scene.counter.counts["mark"] == COUNT, "all are withdrawn")


async def test_nothing_is_withdrawn_where_the_selector_was_put_back(scene: MemoryScene):
    async with scene.running() as controller:
        await leave(scene, controller)
        change(scene, "a", 3)
        # By the read before a withdrawal, or by what a status that is written brings back.
        await scene.until(lambda: controller.store.deployments["u1"].generation == 3, "it is back")
        await scene.acts(controller)
    assert not scene.counter.counts["mark"]
