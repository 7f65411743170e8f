"""The connection to a real nats-server: it comes back by itself, and watches with it."""

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from fleet import errors
from fleet.bus import jetstream, nats, streams
from fleet.bus.port import Bucket, Put, Synced
from fleet.bus.streams import Sizing
from fleet.contracts import bounds, kv
from fleet.contracts.messages import DESIRED_STATE, DEVICE_HEARTBEAT, ReconcileScore
from fleet.contracts.names import DeploymentName
from lab.system import ports
from tests import nats_server
from tests.integration.bus import harness
from tests.integration.bus.harness import DEVICE, PACE, Nats, following

KEY = kv.desired_state_key(DEVICE, DeploymentName("web"))
MINE = kv.desired_state_filter(DEVICE)
VALUE = ReconcileScore(type="PodmanV0", data={}, revision="1")


@pytest.fixture
async def bus(tmp_path) -> AsyncIterator[Nats]:
    async with harness.nats_harness(tmp_path) as running:
        await running.make_buckets()
        yield running


async def connected(bus: nats.NatsBus) -> int:
    async with asyncio.timeout(harness.PATIENCE):
        return await bus.wait_for_session()


async def test_a_bus_may_start_before_its_server(tmp_path):
    server = nats_server.NatsServer(tmp_path, ())
    async with await nats.connect(server.url, name="early", pace=PACE) as early:
        assert not early.connected
        with pytest.raises(errors.BusUnavailable):
            await early.bucket(DESIRED_STATE).get(KEY)
        server.start()
        try:
            assert await connected(early) == 1
        finally:
            server.kill()


async def test_a_wrong_password_is_tried_again_until_the_file_is_right(tmp_path):
    user = nats_server.device(DEVICE)
    with nats_server.running_nats(tmp_path, [user]) as server:
        credentials = server.credentials(nats_server.User(user.name, "wrong"))
        async with await nats.connect(
            server.url,
            credentials=credentials,
            name="agent",
            inbox_prefix=user.inbox_prefix,
            pace=PACE,
        ) as late:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await late.wait_for_session()
            server.credentials(user)
            assert await connected(late) == 1
    gc.collect()  # a refused socket left open would warn here, and warnings are errors


@pytest.mark.parametrize("content", ["", "[]", '{"user": "x"}', "user: x"])
async def test_a_credentials_file_that_is_none_at_the_start_is_told_and_tried_again(
    tmp_path, content: str
):
    """A device whose file a power cut damaged starts all the same, and runs what it runs."""
    user = nats_server.device(DEVICE)
    with nats_server.running_nats(tmp_path, [user]) as server, capture_logs() as logs:
        path = server.credentials(user)
        path.write_text(content)
        async with await nats.connect(
            server.url,
            credentials=path,
            name="agent",
            inbox_prefix=user.inbox_prefix,
            pace=PACE,
        ) as bus:

            async def is_told() -> bool:
                return any(str(path) in log.get("error", "") for log in logs)

            await harness.until("it is told", is_told)
            server.credentials(user)
            assert await connected(bus) == 1


async def test_the_first_of_several_servers_that_answers_is_taken(tmp_path):
    with nats_server.running_nats(tmp_path) as server:
        urls = f"nats://127.0.0.1:{ports.free()},{server.url}"
        async with await nats.connect(urls, name="x", pace=PACE) as bus:
            assert await connected(bus) == 1


async def test_changes_of_the_connection_are_told(tmp_path):
    told: list[bool] = []
    with nats_server.running_nats(tmp_path) as server:
        async with await nats.connect(
            server.url, name="x", pace=PACE, on_change=told.append
        ) as bus:
            await connected(bus)
            server.kill()
            await harness.until_disconnected(bus)
            server.start()
            await connected(bus)
    assert told == [True, False, True, False]


async def test_a_frozen_server_is_unavailable_rather_than_waited_for(bus: Nats):
    impatient = replace(PACE, patience=timedelta(seconds=0.5))
    async with await harness.connect(bus.server, nats_server.OPERATOR, impatient) as other:
        bus.server.pause()
        try:
            with pytest.raises(errors.BusUnavailable, match="no answer"):
                await other.bucket(DESIRED_STATE).get(KEY)
        finally:
            bus.server.resume()
    assert await bus.operator.bucket(DESIRED_STATE).get(KEY) is None


async def test_a_lost_connection_fails_what_waits_for_an_answer(bus: Nats):
    bus.server.pause()
    asking = asyncio.create_task(bus.operator.bucket(DESIRED_STATE).get(KEY))
    await asyncio.sleep(0)
    bus.server.kill()
    async with asyncio.timeout(2):
        with pytest.raises(errors.BusUnavailable):
            await asking


async def test_a_watch_notices_a_bucket_made_anew_behind_its_back(bus: Nats):
    """The connection stands throughout; only heartbeats stay away."""
    await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]
        await bus.admin.ask(jetstream.stream_subject("DELETE", kv.BUCKET_DESIRED_STATE))
        await bus.make_buckets()
        assert await following(watch) == Synced(frozenset())
        assert bus.agent.session == 1


async def test_a_watch_outlives_the_loss_of_its_consumer(bus: Nats):
    await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]
        await _delete_consumers(bus)
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]


async def test_a_watch_that_misses_heartbeats_starts_over(bus: Nats):
    """The connection stands throughout, and the server says nothing."""
    await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        assert [type(await following(watch)) for _ in range(2)] == [Put, Synced]
        waiting = asyncio.ensure_future(anext(watch))
        with capture_logs() as logs:
            bus.server.pause()
            try:
                await harness.until("the silence is noticed", partial(_is_silent, logs))
            finally:
                bus.server.resume()
        assert isinstance(await waiting, Put)
        assert isinstance(await following(watch), Synced)
        assert bus.agent.session == 1


async def _is_silent(logs: Sequence[Mapping[str, Any]]) -> bool:
    return any("nothing heard" in entry.get("error", "") for entry in logs)


@pytest.mark.parametrize("late", [0, 1], ids=["by a heartbeat", "by what comes after"])
async def test_a_reader_too_slow_notices_what_it_missed(bus: Nats, late: int):
    keys = [kv.desired_state_key(DEVICE, DeploymentName(f"d{n}")) for n in range(6)]
    writer = bus.operator.bucket(DESIRED_STATE)
    async with (
        await harness.connect(bus.server, nats_server.OPERATOR, replace(PACE, backlog=9)) as slow,
        aclosing(slow.bucket(DESIRED_STATE).watch()) as watch,
    ):
        assert await following(watch) == Synced(frozenset())
        for key in keys * 3:  # half of it finds no place
            await writer.put(key, VALUE)
        await _round_trip(slow)
        assert [(await following(watch)).key for _ in range(9)] == (keys * 3)[:9]
        for _ in range(late):
            await writer.put(keys[0], VALUE)
        replayed = [await following(watch) for _ in keys]
        assert {event.key for event in replayed} == set(keys)
        assert await following(watch) == Synced(frozenset(keys))


@pytest.mark.parametrize("values", [0, 1], ids=["empty", "not empty"])
async def test_a_replay_ends_without_waiting_for_a_heartbeat(bus: Nats, values: int):
    for _ in range(values):
        await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
    usual = replace(PACE, heartbeat=nats.Pace().heartbeat)
    async with (
        await harness.connect(bus.server, nats_server.OPERATOR, usual) as other,
        aclosing(other.bucket(DESIRED_STATE).watch()) as watch,
    ):
        events = [type(await following(watch)) for _ in range(values + 1)]
    assert events == [Put] * values + [Synced]


async def test_an_idle_watch_stays_where_it_is(bus: Nats):
    async with aclosing(bus.operator.bucket(DESIRED_STATE).watch()) as watch:
        assert isinstance(await following(watch), Synced)
        waiting = asyncio.ensure_future(anext(watch))
        done, _ = await asyncio.wait([waiting], timeout=4 * PACE.heartbeat.total_seconds())
        assert not done
        await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
        assert isinstance(await waiting, Put)


@pytest.mark.parametrize(
    ("size", "says"),
    [
        pytest.param(
            bounds.MAX_MESSAGE_BYTES[kv.BUCKET_DESIRED_STATE] + 1, "size", id="for the bucket"
        ),
        pytest.param(2 << 20, "the server takes", id="for the server"),
    ],
)
async def test_a_value_too_large_is_refused_whoever_sends_it(bus: Nats, size: int, says: str):
    with pytest.raises(errors.ValueTooLarge, match=says):
        await post(bus, b"x" * size)
    assert await bus.operator.bucket(DESIRED_STATE).get(KEY) is None
    await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)


async def post(bus: Nats, data: bytes) -> None:
    """Write as a client of another make does."""
    reply = await bus.admin.require().request(jetstream.subject(kv.BUCKET_DESIRED_STATE, KEY), data)
    jetstream.read_reply(reply.data)


async def test_a_full_bucket_says_so_and_takes_more_once_it_has_room(bus: Nats):
    bucket = bus.operator.bucket(DESIRED_STATE)
    keys = [kv.desired_state_key(DEVICE, DeploymentName(f"d{n}")) for n in range(100)]
    await streams.ensure_streams(bus.operator, Sizing(max_bytes=2000))
    with pytest.raises(errors.BucketFull, match=r"desired-state/pi-01\.d\d+: the bucket is full"):
        await fill(bucket, keys)
    usage = (await streams.usage(bus.operator))[kv.BUCKET_DESIRED_STATE]
    assert 0.8 < usage.share <= 1
    await streams.ensure_streams(bus.operator, Sizing(max_bytes=2_000_000))
    await bucket.put(keys[-1], VALUE)


async def fill(bucket: Bucket[ReconcileScore], keys: list[str]) -> None:
    for key in keys:
        await bucket.put(key, VALUE)


async def test_a_watch_of_a_stream_that_was_purged_by_hand_replays_what_is_left(bus: Nats):
    """Nobody tells of it: a reader learns by replaying now and then, as the operator does."""
    await bus.operator.bucket(DESIRED_STATE).put(KEY, VALUE)
    for expected in ({KEY}, set()):
        async with aclosing(bus.operator.bucket(DESIRED_STATE).watch()) as watch:
            while not isinstance(event := await following(watch), Synced):
                pass
        assert event.keys == expected
        await bus.admin.ask(jetstream.stream_subject("PURGE", kv.BUCKET_DESIRED_STATE), b"{}")


async def test_a_closed_watch_leaves_no_consumer_behind(bus: Nats):
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(MINE)) as watch:
        await following(watch)
        assert await _consumers(bus)

    async def none_is_left() -> bool:
        return not await _consumers(bus)

    await harness.until("the inactive consumer is dropped", none_is_left)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
async def test_a_fleet_that_starts_is_spread_over_a_quarter_of_the_jitter(
    tmp_path: Path, chance: float
):
    pace = nats.Pace(heartbeat=PACE.heartbeat, jitter=timedelta(seconds=4))
    with nats_server.running_nats(tmp_path) as server:
        async with await nats.connect(
            server.url, name="x", pace=pace, chance=lambda: chance
        ) as bus:
            await connected(bus)
            await streams.ensure_streams(bus)
            waited = await _first_word(bus)
    assert chance <= waited < chance + 0.5


async def test_a_fleet_that_comes_back_is_spread_over_the_jitter(tmp_path: Path):
    pace = nats.Pace(heartbeat=PACE.heartbeat, jitter=timedelta(seconds=1))
    loop = asyncio.get_running_loop()
    with nats_server.running_nats(tmp_path) as server:
        async with await nats.connect(server.url, name="x", pace=pace, chance=lambda: 0.999) as bus:
            await connected(bus)
            await streams.ensure_streams(bus)
            async with aclosing(bus.bucket(DESIRED_STATE).watch()) as watch:
                await following(watch)
                server.kill()
                server.start()
                since = loop.time()
                await following(watch)
                assert loop.time() - since > 0.9


async def _first_word(bus: nats.NatsBus) -> float:
    """Watch, and return after how many seconds the first event came."""
    loop = asyncio.get_running_loop()
    since = loop.time()
    async with aclosing(bus.bucket(DESIRED_STATE).watch()) as watch:
        await following(watch)
    return loop.time() - since


async def _round_trip(bus: nats.NatsBus) -> None:
    """Whatever was sent to *bus* before has arrived."""
    await bus.server_time()


async def _consumers(bus: Nats) -> list[str]:
    reply = await bus.admin.ask(f"$JS.API.CONSUMER.NAMES.KV_{kv.BUCKET_DESIRED_STATE}")
    return list(reply["consumers"] or ())


async def _delete_consumers(bus: Nats) -> None:
    for name in await _consumers(bus):
        stream = f"KV_{kv.BUCKET_DESIRED_STATE}"
        assert json.dumps(await bus.admin.ask(f"$JS.API.CONSUMER.DELETE.{stream}.{name}"))


async def test_replays_of_one_connection_take_turns(bus: Nats):
    desired, beats = bus.operator.bucket(DESIRED_STATE), bus.operator.bucket(DEVICE_HEARTBEAT)
    await desired.put(KEY, VALUE)
    async with aclosing(desired.watch()) as first, aclosing(beats.watch()) as second:
        assert isinstance(await following(first), Put)  # amid its replay
        waiting = asyncio.ensure_future(anext(second))
        for _ in range(10):  # round trips, of which a replay without keys takes three
            await bus.operator.server_time()
        assert not waiting.done()
        assert isinstance(await following(first), Synced)
        async with asyncio.timeout(harness.PATIENCE):
            assert isinstance(await waiting, Synced)


async def test_a_replay_that_is_given_up_is_no_turn_any_more(bus: Nats):
    desired, beats = bus.operator.bucket(DESIRED_STATE), bus.operator.bucket(DEVICE_HEARTBEAT)
    await desired.put(KEY, VALUE)
    async with aclosing(desired.watch()) as first:
        assert isinstance(await following(first), Put)  # amid its replay
    async with aclosing(beats.watch()) as second:
        assert isinstance(await following(second), Synced)
