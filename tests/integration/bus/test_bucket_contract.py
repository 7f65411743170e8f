"""What operator and agent rely on of a bucket, over memory and over a real nats-server."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fleet import errors
from fleet.bus.port import Deleted, Put, Synced, Undecodable, is_heard
from fleet.contracts import bounds, kv
from fleet.contracts.messages import (
    DESIRED_STATE,
    DEVICE_HEARTBEAT,
    DEVICE_INFO,
    DEVICE_STATE,
    DeploymentState,
    DeviceInfo,
    HeartbeatPayload,
    Phase,
    ReconcileScore,
)
from fleet.contracts.names import DeploymentName, DeviceId
from tests.integration.bus.harness import DEVICE, OTHER, Harness, following, until

WEB = DeploymentName("web")
KEY = kv.desired_state_key(DEVICE, WEB)
OTHERS_KEY = kv.desired_state_key(OTHER, WEB)
MINE = kv.desired_state_filter(DEVICE)


def score(revision: str) -> ReconcileScore:
    return ReconcileScore(type="PodmanV0", data={"services": []}, revision=revision)


def state(device: DeviceId, phase: Phase = Phase.RUNNING) -> DeploymentState:
    return DeploymentState(device_id=device, deployment=WEB, phase=phase, revision="1")


async def replay(bucket: Any, key_filter: str = ">") -> list[Any]:
    """Read a watch up to its first `Synced`."""
    events = []
    async with aclosing(bucket.watch(key_filter)) as watch:
        while not isinstance(event := await following(watch), Synced):
            events.append(event)
    return events


async def test_a_value_put_is_read_with_its_revision_and_the_time_of_writing(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    revision = await bucket.put(KEY, score("1"))
    entry = await bucket.get(KEY)
    assert isinstance(entry, Put)
    assert (entry.key, entry.value, entry.revision) == (KEY, score("1"), revision)
    assert abs(datetime.now(UTC) - entry.at) < timedelta(minutes=1)


async def test_nothing_stands_at_a_key_never_written(bus: Harness):
    assert await bus.operator.bucket(DESIRED_STATE).get(KEY) is None


async def test_revisions_grow_with_each_write(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    revisions = [await bucket.put(KEY, score(str(n))) for n in range(3)]
    assert revisions == sorted(set(revisions))


async def test_a_put_that_expects_nothing_makes_the_first_value_only(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    await bucket.put(KEY, score("1"), last=0)
    with pytest.raises(errors.RevisionConflict):
        await bucket.put(KEY, score("2"), last=0)


async def test_a_put_replaces_only_the_revision_that_it_expects(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    first = await bucket.put(KEY, score("1"))
    await bucket.put(OTHERS_KEY, score("1"))  # moves the stream on, not the key
    second = await bucket.put(KEY, score("2"), last=first)
    with pytest.raises(errors.RevisionConflict) as conflict:
        await bucket.put(KEY, score("3"), last=first)
    assert conflict.value.element == KEY
    assert await bucket.get(KEY) == Put(KEY, score("2"), second, at=_at(await bucket.get(KEY)))


async def test_a_delete_leaves_a_marker_that_is_no_empty_key(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    first = await bucket.put(KEY, score("1"))
    marker = await bucket.delete(KEY, last=first)
    entry = await bucket.get(KEY)
    assert isinstance(entry, Deleted)
    assert entry.revision == marker
    with pytest.raises(errors.RevisionConflict):
        await bucket.put(KEY, score("2"), last=0)
    assert await bucket.put(KEY, score("2"), last=marker) > marker


async def test_a_delete_loses_against_another_write(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    first = await bucket.put(KEY, score("1"))
    await bucket.put(KEY, score("2"))
    with pytest.raises(errors.RevisionConflict):
        await bucket.delete(KEY, last=first)


async def test_a_purged_key_holds_nothing_at_all(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    await bucket.put(KEY, score("1"))
    await bucket.put(OTHERS_KEY, score("1"))
    await bucket.delete(KEY)
    await bucket.purge(KEY)
    assert await bucket.get(KEY) is None
    assert await bucket.put(KEY, score("2"), last=0)
    assert isinstance(await bucket.get(OTHERS_KEY), Put)


async def test_a_purge_up_to_a_revision_leaves_what_was_written_since(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    first = await bucket.put(KEY, score("1"))
    await bucket.put(KEY, score("2"))
    await bucket.purge(KEY, last=first)
    assert isinstance(await bucket.get(KEY), Put)


async def test_a_purge_takes_all_keys_of_a_filter_and_no_other(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    await bucket.put(KEY, score("1"))
    await bucket.put(OTHERS_KEY, score("1"))
    await bucket.purge(kv.desired_state_filter(DEVICE))
    assert await bucket.get(KEY) is None
    assert isinstance(await bucket.get(OTHERS_KEY), Put)


async def test_a_marker_with_a_time_to_live_goes_by_itself(bus: Harness):
    bucket = bus.agent.bucket(DEVICE_STATE)
    key = kv.device_state_key(DEVICE, WEB)
    await bucket.put(key, state(DEVICE))
    await bucket.delete(key, ttl=timedelta(seconds=1))
    reader = bus.operator.bucket(DEVICE_STATE)

    async def is_gone() -> bool:
        return await reader.get(key) is None

    await until("the marker is gone", is_gone)


async def test_a_value_too_large_is_refused_before_it_is_sent(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    huge = ReconcileScore(
        type="PodmanV0",
        data={"x": "y" * bounds.MAX_MESSAGE_BYTES[DESIRED_STATE.bucket]},
        revision="1",
    )
    with pytest.raises(errors.ValueTooLarge):
        await bucket.put(KEY, huge)
    assert await bucket.get(KEY) is None


async def test_a_value_may_be_as_large_as_a_bucket_takes_and_no_byte_larger(bus: Harness):
    """The server has the last word: what is allowed here must be taken there, headers and all."""
    bucket = bus.operator.bucket(DESIRED_STATE)
    bare = ReconcileScore(type="PodmanV0", data={"x": ""}, revision="1")
    room = bounds.max_value_bytes(DESIRED_STATE.bucket) - len(DESIRED_STATE.encode(bare))
    largest = ReconcileScore(type="PodmanV0", data={"x": "y" * room}, revision="1")
    await bucket.put(KEY, largest)
    entry = await bucket.get(KEY)
    assert isinstance(entry, Put)
    assert entry.value == largest
    larger = ReconcileScore(type="PodmanV0", data={"x": "y" * (room + 1)}, revision="1")
    with pytest.raises(errors.ValueTooLarge):
        await bucket.put(KEY, larger)


async def test_a_value_is_refused_at_a_key_of_another_bucket(bus: Harness):
    with pytest.raises(errors.UndecodableValue):
        await bus.operator.bucket(DEVICE_INFO).put(
            "heartbeat.pi-01", DeviceInfo(device_id=DEVICE, labels={})
        )


async def test_a_watch_of_an_empty_bucket_is_synced_at_once(bus: Harness):
    async with aclosing(bus.operator.bucket(DESIRED_STATE).watch()) as watch:
        assert await following(watch) == Synced(frozenset())


async def test_a_watch_replays_the_last_entry_of_each_key_markers_too(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    for key in (KEY, OTHERS_KEY):
        await bucket.put(key, score("1"))
        await bucket.put(key, score("2"))
    await bucket.delete(OTHERS_KEY)
    async with aclosing(bucket.watch()) as watch:
        first, second, synced = [await following(watch) for _ in range(3)]
    assert (first.key, first.value) == (KEY, score("2"))
    assert isinstance(second, Deleted)
    assert second.key == OTHERS_KEY
    assert synced == Synced(frozenset({KEY, OTHERS_KEY}))


async def test_a_watch_follows_what_changes(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert await following(watch) == Synced(frozenset())
        revision = await bucket.put(KEY, score("1"))
        put = await following(watch)
        assert (put.key, put.value, put.revision) == (KEY, score("1"), revision)
        marker = await bucket.delete(KEY)
        deleted = await following(watch)
        assert (deleted.key, deleted.revision) == (KEY, marker)


async def test_a_watch_sees_only_the_keys_of_its_filter(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    await bucket.put(OTHERS_KEY, score("1"))
    await bucket.put(KEY, score("1"))
    assert [event.key for event in await replay(bus.agent.bucket(DESIRED_STATE), MINE)] == [KEY]


async def test_time_is_the_same_whether_read_or_watched(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    await bucket.put(KEY, score("1"))
    assert await replay(bucket) == [await bucket.get(KEY)]


async def test_many_keys_are_replayed_completely(bus: Harness):
    bucket = bus.operator.bucket(DESIRED_STATE)
    keys = {kv.desired_state_key(DeviceId(f"d-{n}"), WEB) for n in range(500)}
    await asyncio.gather(*(bucket.put(key, score("1")) for key in keys))
    assert {event.key for event in await replay(bucket)} == keys


async def test_what_does_not_decode_is_told_and_counted_and_stops_nothing(bus: Harness):
    good, bad = kv.device_info_key(DEVICE), kv.device_info_key(OTHER)
    await bus.post(kv.BUCKET_DEVICE_INFO, bad, b"{not json")
    await bus.agent.bucket(DEVICE_INFO).put(good, DeviceInfo(device_id=DEVICE, labels={}))
    bucket = bus.operator.bucket(DEVICE_INFO)
    first, second = await replay(bucket)
    assert isinstance(first, Undecodable)
    assert first.key == bad
    assert isinstance(second, Put)
    assert bus.operator.bucket(DEVICE_INFO).undecodable == 1


@pytest.mark.parametrize(
    "key", ["nonsense", "info.pi-01.more", "info.NOT-A-LABEL"], ids=["token", "length", "name"]
)
async def test_a_key_that_is_none_of_the_buckets_is_undecodable(bus: Harness, key: str):
    await bus.post(kv.BUCKET_DEVICE_INFO, key, b'{"device_id":"pi-01","labels":{}}')
    (entry,) = await replay(bus.operator.bucket(DEVICE_INFO))
    assert isinstance(entry, Undecodable)


async def test_a_message_about_another_device_than_its_key_is_undecodable(bus: Harness):
    key = kv.device_info_key(DEVICE)
    await bus.post(kv.BUCKET_DEVICE_INFO, key, b'{"device_id":"pi-02","labels":{}}')
    assert isinstance(await bus.operator.bucket(DEVICE_INFO).get(key), Undecodable)


async def test_an_agent_writes_its_own_three_buckets(bus: Harness):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    await bus.agent.bucket(DEVICE_INFO).put(
        kv.device_info_key(DEVICE), DeviceInfo(device_id=DEVICE, labels={})
    )
    await bus.agent.bucket(DEVICE_STATE).put(kv.device_state_key(DEVICE, WEB), state(DEVICE))
    await bus.agent.bucket(DEVICE_HEARTBEAT).put(
        kv.device_heartbeat_key(DEVICE), HeartbeatPayload(device_id=DEVICE, at=now), last=0
    )


async def test_an_agent_reads_its_own_desired_state(bus: Harness):
    await bus.operator.bucket(DESIRED_STATE).put(KEY, score("1"))
    assert isinstance(await bus.agent.bucket(DESIRED_STATE).get(KEY), Put)


async def test_an_agent_is_refused_what_is_anothers(bus: Harness):
    agent, since = bus.agent, asyncio.get_running_loop().time()
    with pytest.raises(errors.BusRefused):
        await agent.bucket(DESIRED_STATE).get(OTHERS_KEY)
    with pytest.raises(errors.BusRefused):
        await agent.bucket(DEVICE_STATE).put(kv.device_state_key(OTHER, WEB), state(OTHER))
    with pytest.raises(errors.BusRefused):
        await agent.bucket(DESIRED_STATE).put(KEY, score("1"))
    with pytest.raises(errors.BusRefused):
        await agent.bucket(DESIRED_STATE).delete(KEY)
    with pytest.raises(errors.BusRefused):
        await agent.bucket(DESIRED_STATE).purge(KEY)
    with pytest.raises(errors.BusRefused):
        await agent.server_time()
    assert asyncio.get_running_loop().time() - since < 2, "a refusal is no time-out"


async def test_the_operator_reads_the_servers_clock(bus: Harness):
    assert abs(datetime.now(UTC) - await bus.operator.server_time()) < timedelta(minutes=1)


async def test_a_bucket_that_is_not_there_is_unavailable(bare: Harness):
    bucket = bare.operator.bucket(DESIRED_STATE)
    with pytest.raises(errors.BusUnavailable):
        await bucket.get(KEY)
    with pytest.raises(errors.BusUnavailable):
        await bucket.put(KEY, score("1"))


async def test_a_watch_waits_for_its_bucket(bare: Harness):
    async with aclosing(bare.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        waiting = asyncio.create_task(following(watch))
        await asyncio.sleep(0)  # let it ask once, in vain
        await bare.make_buckets()
        assert await waiting == Synced(frozenset())


async def test_a_watch_replays_after_the_server_was_killed_and_came_back(bus: Harness):
    await bus.operator.bucket(DESIRED_STATE).put(KEY, score("1"))
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]
        await bus.restart()
        assert (await following(watch)).value == score("1")
        assert await following(watch) == Synced(frozenset({KEY}))
        await bus.operator.bucket(DESIRED_STATE).put(KEY, score("2"))
        assert (await following(watch)).value == score("2")


async def test_a_watch_replays_a_bucket_made_anew_as_it_is_then(bus: Harness):
    await bus.operator.bucket(DESIRED_STATE).put(KEY, score("1"))
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]
        await bus.start_anew()
        await bus.make_buckets()
        assert await following(watch) == Synced(frozenset())
        assert await bus.operator.bucket(DESIRED_STATE).put(KEY, score("2"), last=0) == 1
        assert (await following(watch)).value == score("2")


async def test_every_session_has_a_number_to_wait_for(bus: Harness):
    first = bus.agent.session
    waiting = asyncio.create_task(bus.agent.wait_for_session(first))
    await bus.restart()
    async with asyncio.timeout(10):
        assert await waiting == first + 1
    assert bus.agent.connected


async def test_a_frozen_server_is_connected_and_no_longer_heard(bus: Harness):
    bucket = bus.agent.bucket(DEVICE_INFO)
    assert is_heard(bus.agent)

    async def is_silent() -> bool:
        return bus.agent.unheard_for > 0.5

    async def is_back() -> bool:
        return bus.agent.unheard_for < 0.5

    bus.freeze()
    try:
        await until("the silence is told", is_silent)
        assert bus.agent.connected
    finally:
        bus.thaw()
    await bucket.put(kv.device_info_key(DEVICE), DeviceInfo(device_id=DEVICE, labels={}))
    await until("the server is heard again", is_back)


async def test_without_a_session_nothing_was_ever_heard(bus: Harness):
    await bus.agent.close()
    assert bus.agent.unheard_for == float("inf")
    assert not is_heard(bus.agent)


async def test_a_closed_bus_is_unavailable_and_stays_so(bus: Harness):
    bucket = bus.agent.bucket(DESIRED_STATE)
    await bus.agent.close()
    assert not bus.agent.connected
    with pytest.raises(errors.BusUnavailable):
        await bucket.get(KEY)


def _at(entry: Any) -> datetime:
    assert isinstance(entry, Put)
    return entry.at
