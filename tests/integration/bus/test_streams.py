"""The streams behind the buckets, on a real nats-server."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from fleet import errors
from fleet.bus import jetstream, streams
from fleet.bus.streams import Sizing
from fleet.contracts import kv
from fleet.contracts.bounds import MAX_MESSAGE_BYTES
from tests.integration.bus import harness
from tests.integration.bus.harness import Nats


@pytest.fixture
async def bus(tmp_path) -> AsyncIterator[Nats]:
    async with harness.nats_harness(tmp_path) as running:
        yield running


async def configuration(bus: Nats, bucket: str) -> dict[str, Any]:
    """Read back what the server has."""
    return dict((await bus.admin.ask(jetstream.stream_subject("INFO", bucket)))["config"])


@pytest.mark.parametrize("bucket", kv.BUCKETS)
async def test_a_bucket_is_configured_as_the_contract_says(bus: Nats, bucket: str):
    await streams.ensure_streams(bus.operator, Sizing(max_bytes=64 * 1024 * 1024))
    found = await configuration(bus, bucket)
    assert found["subjects"] == [f"$KV.{bucket}.>"]
    assert found["storage"] == "file"
    assert found["max_msgs_per_subject"] == 1
    assert found["max_msg_size"] == MAX_MESSAGE_BYTES[bucket]
    assert found["max_bytes"] == 64 * 1024 * 1024
    assert found["max_consumers"] == 100_000
    assert found["num_replicas"] == 1
    assert found["discard"] == "new"
    assert found["allow_direct"] is True
    assert found["allow_msg_ttl"] is True
    assert not found.get("allow_rollup_hdrs")
    assert not found.get("subject_delete_marker_ttl")


async def test_streams_that_are_right_are_left_alone(bus: Nats):
    assert await streams.ensure_streams(bus.operator) == kv.BUCKETS
    assert await streams.ensure_streams(bus.operator) == ()


async def test_a_drifted_stream_is_put_right(bus: Nats):
    await streams.ensure_streams(bus.operator)
    bucket = kv.BUCKET_DEVICE_STATE
    drifted = await configuration(bus, bucket) | {"max_bytes": 1024, "allow_rollup_hdrs": True}
    await streams.send(bus.admin, "UPDATE", bucket, drifted)
    assert await streams.ensure_streams(bus.operator) == (bucket,)
    found = await configuration(bus, bucket)
    assert found["max_bytes"] == streams.MAX_BYTES
    assert not found.get("allow_rollup_hdrs")


async def test_a_marker_time_to_live_of_the_stream_is_taken_back(bus: Nats):
    """The server turns roll-ups on with it."""
    await streams.ensure_streams(bus.operator)
    bucket = kv.BUCKET_DESIRED_STATE
    drifted = await configuration(bus, bucket) | {"subject_delete_marker_ttl": 3_600_000_000_000}
    await streams.send(bus.admin, "UPDATE", bucket, drifted | {"allow_rollup_hdrs": True})
    assert await streams.ensure_streams(bus.operator) == (bucket,)
    assert not (await configuration(bus, bucket)).get("subject_delete_marker_ttl")


async def test_streams_that_vanish_are_made_again(bus: Nats):
    await streams.ensure_streams(bus.operator)
    await bus.admin.ask(jetstream.stream_subject("DELETE", kv.BUCKET_DEVICE_INFO))
    assert await streams.ensure_streams(bus.operator) == (kv.BUCKET_DEVICE_INFO,)


async def test_a_refused_setting_says_why(bus: Nats):
    with pytest.raises(errors.BusUnavailable, match="replicas"):
        await streams.ensure_streams(bus.operator, Sizing(replicas=3))
