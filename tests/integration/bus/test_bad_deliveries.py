"""Whatever a device sends to keys that it may write, everybody's watch goes on."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from fleet.bus import jetstream
from fleet.bus.bucket import NatsBucket
from fleet.bus.port import Put, Synced, Undecodable
from fleet.contracts import kv
from fleet.contracts.messages import (
    DEVICE_HEARTBEAT,
    DEVICE_STATE,
    DeploymentState,
    HeartbeatPayload,
    Phase,
)
from fleet.contracts.names import DeploymentName
from lab.soak.judgement.wire import Wire
from tests import nats_server
from tests.integration.bus import harness
from tests.integration.bus.harness import DEVICE, OTHER, Nats, following

BEAT = b'{"device_id":"pi-01","at":"2026-01-02T03:04:05Z"}'
MINE, OTHERS = kv.device_heartbeat_key(DEVICE), kv.device_heartbeat_key(OTHER)
ANOTHER = HeartbeatPayload(device_id=OTHER, at=datetime(2026, 1, 2, tzinfo=UTC))
WEB = DeploymentName("web")
HEADERS = (
    *({"Status": status} for status in ("100", "404", "408", "409", "503", "", "x")),
    {"Status": "100", "Description": "Idle Heartbeat", "Nats-Last-Consumer": "many"},
    {"Nats-Sequence": "first"},
    {"Nats-Subject": jetstream.subject(kv.BUCKET_DEVICE_HEARTBEAT, OTHERS)},
    {"Nats-Time-Stamp": "noon"},
    {"KV-Operation": "SPELL"},
    {"Nats-Marker-Reason": "Whim"},
    {"": ""},
)
TOKENS = (
    "web\udcff",
    "\udcc0\udc80",
    "\N{BUG}",
    "*",
    ">",
    "x\x00y",
    "x\x0by",
    "x\x0cy",
    "X" * 3000,
)


@pytest.fixture
async def bus(tmp_path) -> AsyncIterator[Nats]:
    async with harness.nats_harness(tmp_path) as running:
        await running.make_buckets()
        yield running


@pytest.fixture
def wire(bus: Nats):
    """A device's credentials in hands that don't use our code."""
    user = nats_server.device(DEVICE)
    with Wire(bus.server.url, bus.server.credentials(user), user.inbox_prefix) as connection:
        yield connection


async def test_a_device_cannot_pass_a_message_off_as_the_servers_word(bus: Nats, wire: Wire):
    bucket = bus.operator.bucket(DEVICE_HEARTBEAT)
    async with aclosing(bucket.watch()) as watch:
        assert isinstance(await following(watch), Synced)
        for headers in HEADERS:
            wire.ask(jetstream.subject(bucket.name, MINE), BEAT, headers)
            assert (await following(watch)).key == MINE, headers
            await bus.other.bucket(DEVICE_HEARTBEAT).put(OTHERS, ANOTHER)
            assert (await following(watch)).key == OTHERS, headers
            assert await replayed(bucket) == {MINE, OTHERS}, headers
            found = await bucket.get(MINE)
            assert found is not None, headers
            assert found.key == MINE, headers


async def test_a_key_of_any_bytes_ends_no_connection(bus: Nats, wire: Wire):
    session, bucket = bus.operator.session, bus.operator.bucket(DEVICE_STATE)
    key = kv.device_state_key(OTHER, WEB)
    state = DeploymentState(device_id=OTHER, deployment=WEB, phase=Phase.RUNNING, revision="1")
    async with aclosing(bucket.watch()) as watch:
        assert isinstance(await following(watch), Synced)
        for token in TOKENS:
            wire.ask(jetstream.subject(bucket.name, f"state.{DEVICE}.{token}"), BEAT)
            assert isinstance(await following(watch), Undecodable), ascii(token)
            await bus.other.bucket(DEVICE_STATE).put(key, state)
            told = await following(watch)
            assert isinstance(told, Put), ascii(token)
            assert told.key == key, ascii(token)
    assert key in await replayed(bucket)
    assert bus.operator.session == session


async def replayed(bucket: NatsBucket[Any]) -> frozenset[str]:
    async with aclosing(bucket.watch()) as watch:
        while True:
            event = await following(watch)
            if isinstance(event, Synced):
                return event.keys
