"""Whatever one device writes at the keys that it may write, another device's deployment lands."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.bus.port import Put
from fleet.contracts import kv
from fleet.contracts.messages import DeploymentState, Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.decisions.junk_keys import MOST_STATES, JunkKey
from fleet.operator.model.matching.index import Pair
from fleet.operator.model.store import Store
from fleet.operator.watches.buckets import StateFeed, Surroundings
from fleet.operator.watches.sync_barrier import Part, SyncBarrier
from fleet.supervision.failures import Failures
from lab.bench.simulated_device import SimulatedDevice
from tests.unit.contracts.test_bounds import WRONG_TIMES
from tests.unit.operator.fakes import FakeCounter
from tests.unit.operator.making import START, deployment_body, put, score
from tests.unit.operator.scene import MemoryScene

BAD = "bad-1"
PI = DeviceId("pi-01")
TEXTS = ("", "x" * 5000, "\x1b[2J\x00\u202e", "two\nlines", "\N{BUG}" * 300, "Invented")
NUMBERS = (-1, 0, 2**31, 2**63, -(2**63) - 1, 10**30, 1.5, 1e308, True)
DEEP: Any = {"deep": [[[[[[]]]]]]}

texts = st.sampled_from(TEXTS) | st.text(max_size=20)
anything: st.SearchStrategy[Any] = st.one_of(
    st.none(), texts, st.sampled_from(NUMBERS), st.just(DEEP), st.lists(texts, max_size=3)
)
times = st.sampled_from([*WRONG_TIMES.values()])
tokens = st.sampled_from(["web", "other", "x.y", "X", "*", ">", "a\ufffdb", "w" * 64, "é"])


def odd(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what belongs there, at its limits; sometimes anything else."""
    return st.one_of(value, value, value, anything)


infos = st.fixed_dictionaries(
    {"device_id": st.just(BAD), "labels": odd(st.dictionaries(texts, texts, max_size=4))},
    optional={
        "inventory": odd(st.fixed_dictionaries({}, optional={
            "hostname": odd(texts), "cpus": odd(st.sampled_from(NUMBERS)),
            "memory_bytes": odd(st.sampled_from(NUMBERS)),
            "runtimes": odd(st.dictionaries(texts, texts, max_size=3)),
        })),
        "agent_version": odd(texts),
        "problems": odd(st.lists(
            st.fixed_dictionaries({"reason": odd(texts)}, optional={"message": odd(texts)}),
            max_size=20,
        )),
        "updated_at": odd(times),
        "from_the_future": anything,
    },
)  # fmt: skip
states = st.fixed_dictionaries(
    {
        "device_id": st.just(BAD),
        "deployment": st.sampled_from(["web", "other"]),
        "phase": odd(st.sampled_from(["Pending", "Running", "Failed", "Failed"])),
        "revision": odd(st.just("REVISION")),
    },
    optional={
        "error": odd(
            st.fixed_dictionaries(
                {"reason": odd(texts)}, optional={"message": odd(texts), "service": odd(texts)}
            )
        ),
        "services": odd(
            st.lists(st.fixed_dictionaries({"name": odd(texts), "restarts": odd(st.just(3))}))
        ),
        "updated_at": odd(times),
    },
)
heartbeats = st.fixed_dictionaries(
    {"device_id": st.just(BAD), "at": odd(times)}, optional={"instance": odd(texts)}
)
raw = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"[" * 3000, b'{"x":' * 800, b'{"device_id":"bad-1","x":' + b"[" * 3000]),
)


def at(bucket: str, keys: st.SearchStrategy[str], messages: st.SearchStrategy[Any]) -> Any:
    data = st.one_of(messages.map(lambda m: json.dumps(m).encode()), raw)
    return st.tuples(st.just(bucket), keys, data)


writes = st.lists(
    st.one_of(
        at(kv.BUCKET_DEVICE_INFO, st.just(f"info.{BAD}"), infos),
        at(kv.BUCKET_DEVICE_HEARTBEAT, st.just(f"heartbeat.{BAD}"), heartbeats),
        at(kv.BUCKET_DEVICE_STATE, st.just(f"state.{BAD}.web"), states),
        at(kv.BUCKET_DEVICE_STATE, tokens.map(lambda t: f"state.{BAD}.{t}"), states),
    ),
    min_size=1,
    max_size=25,
)
Write = tuple[str, str, bytes]


async def lands(written: list[Write]) -> MemoryScene:
    """Have *written* by a bad device, and a deployment land on a good one."""
    async with AsyncExitStack() as stack:
        scene = MemoryScene()
        stack.push_async_callback(scene.bus.close)
        bad = SimulatedDevice(scene.bus, BAD)
        await bad.register({"site": "a"})
        await scene.device.register({"site": "a", "make": "good"})
        scene.cluster.add(deployment_body())
        controller = await stack.enter_async_context(scene.running())
        wanted = await scene.until_wanted()
        for bucket, key, data in written:
            scene.server.write_raw(bucket, key, data.replace(b"REVISION", wanted.revision.encode()))
        obeying = asyncio.create_task(scene.device.obey())
        stack.callback(obeying.cancel)
        scene.cluster.add(deployment_body("later", uid="u2", labels={"make": "good"}))
        await controller.informer.list_all()
        await scene.until(lambda: scene.cluster.status("u2").get("ready") == "1/1", "it lands")
        await scene.until(lambda: _running(scene, "u1"), "the one on both devices lands too")
        return scene


def _running(scene: MemoryScene, uid: str) -> int:
    return int(scene.cluster.status(uid)["aggregate"]["running"])


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(written=writes)
def test_whatever_a_device_writes_another_ones_deployment_lands(written: list[Write]):
    scene = asyncio.run(lands(written))
    _check_counts(scene)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(written=writes)
def test_whatever_a_device_writes_another_ones_deployment_lands_again_and_again(
    written: list[Write],
):
    _check_counts(asyncio.run(lands(written)))


def _check_counts(scene: MemoryScene) -> None:
    """Nothing was refused by the API server, and no word of a device became a label."""
    failures = {what for what in scene.counter.counts if what.startswith("failed")}
    assert failures == set(), [*scene.counter.counts]


SEEN = {
    "a time before the first day": b'"updated_at":"0001-01-01T00:00:00+14:00"',
    "Go's zero time": b'"updated_at":"0001-01-01T00:00:00Z"',
    "a time in 2099": b'"updated_at":"2099-01-01T00:00:00Z"',
    "a long text": b'"error":{"reason":"X","message":"' + b"x" * 60_000 + b'"}',
    "commands to a terminal": b'"error":{"reason":"\\u001b[2J","message":"\\u0000"}',
}


@pytest.mark.parametrize(("name", "fields"), SEEN.items(), ids=SEEN)
async def test_a_state_that_can_be_read_can_be_shown(name: str, fields: bytes):
    state = b'{"device_id":"bad-1","deployment":"web","phase":"Failed","revision":"REVISION",'
    scene = await lands([(kv.BUCKET_DEVICE_STATE, f"state.{BAD}.web", state + fields + b"}")])
    _check_counts(scene)
    told = scene.cluster.status("u1")["aggregate"]
    assert told["failed"] == 1
    assert not told["lastError"]["at"].startswith(("0001", "2099"))
    assert (scene.counter.counts["time replaced device-state"] > 0) is ("time" in name)


async def test_a_flood_of_states_is_swept_and_takes_no_memory():
    state = '{{"device_id":"bad-1","deployment":"{}","phase":"Running","revision":"1"}}'
    async with AsyncExitStack() as stack:
        scene = MemoryScene()
        stack.push_async_callback(scene.bus.close)
        scene.cluster.add(deployment_body())
        stream = scene.server.stream(kv.BUCKET_DEVICE_STATE)
        async with scene.running() as controller:
            await controller.informer.listed.wait()
            await controller.barrier.opened()
            for n in range(MOST_STATES + 50):
                data = state.format(f"junk-{n}").encode()
                scene.server.write_raw(kv.BUCKET_DEVICE_STATE, f"state.{BAD}.junk-{n}", data)
            scene.server.write_raw(kv.BUCKET_DEVICE_STATE, f"state.{BAD}.x.y", b"junk")
            await scene.until(lambda: len(stream.replay(">")) == MOST_STATES, "the rest is swept")
            assert len(controller.store.states) == MOST_STATES
            assert stream.last(f"state.{BAD}.x.y") is None
            assert scene.counter.counts["swept device-state"] == 51
            await scene.device.register({"site": "a"})
            await scene.until_wanted()


async def test_what_may_be_wanted_of_a_device_is_not_swept_while_nobody_knows():
    """At a start its states may be read before what is wanted of it."""
    store, barrier = Store(), SyncBarrier()
    swept: list[JunkKey] = []
    feed = StateFeed(Surroundings(store, barrier, FakeCounter(), Failures(), swept.append))

    async def told(name: str) -> None:
        state = DeploymentState(
            device_id=PI, deployment=DeploymentName(name), phase=Phase.RUNNING, revision="1"
        )
        await feed.handle(Put(kv.device_state_key(PI, DeploymentName(name)), state, 1, START))

    for n in range(MOST_STATES + 1):
        await told(f"d{n}")
    assert len(store.states) == MOST_STATES
    assert not swept
    barrier.listed(Part.DESIRED_STATE)
    wanted = Pair(PI, DeploymentName("wanted"))
    store.put_desired(wanted, put(score(), key=wanted))
    await told("wanted")
    assert store.states[wanted]
    assert not swept
    await told("surplus")
    assert [junk.key for junk in swept] == [f"state.{PI}.surplus"]
