"""
What a device's credentials allow on a real nats-server, tried as an attacker would.

The client here is nats-py itself, not ours: whoever steals a device's password
need not use our code.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace

import pytest
from nats.aio.client import Client

from fleet import errors
from fleet.bus import jetstream, streams
from fleet.bus.port import Put, Synced
from fleet.contracts import kv
from fleet.contracts.messages import DESIRED_STATE, DEVICE_STATE, ReconcileScore
from fleet.contracts.names import DeploymentName, DeviceId
from tests import nats_server
from tests.integration.bus import harness
from tests.integration.bus.harness import DEVICE, OTHER, Nats, following

DESIRED = f"KV_{kv.BUCKET_DESIRED_STATE}"
SECRET = kv.desired_state_key(OTHER, DeploymentName("secretapp"))
STATE = jetstream.subject(
    kv.BUCKET_DEVICE_STATE, kv.device_state_key(DEVICE, DeploymentName("web"))
)


VALUE = ReconcileScore(type="PodmanV0", data={}, revision="1")


class Thief:
    """Someone with a device's password and the library's full power."""

    def __init__(self) -> None:
        self.client = Client()
        self.denials: list[str] = []
        self._denied = asyncio.Event()

    async def on_error(self, error: Exception) -> None:
        self.denials.append(str(error))
        self._denied.set()

    async def is_denied(self, subject: str, payload: bytes = b"") -> bool:
        """Publish, and tell whether the server said no."""
        self._denied.clear()
        answer = asyncio.ensure_future(self.client.request(subject, payload, timeout=5))
        denial = asyncio.ensure_future(self._denied.wait())
        await asyncio.wait([answer, denial], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (answer, denial):
            waiting.cancel()
        await asyncio.wait([answer, denial])
        return self._denied.is_set()

    async def is_denied_listening(self, subject: str) -> bool:
        """Subscribe, and tell whether the server said no."""
        self._denied.clear()
        await self.client.subscribe(subject)
        try:
            async with asyncio.timeout(3):
                return await self._denied.wait()
        except TimeoutError:
            return False


@pytest.fixture
async def bus(tmp_path) -> AsyncIterator[Nats]:
    async with harness.nats_harness(tmp_path) as running:
        await running.make_buckets()
        bucket = running.operator.bucket(DESIRED_STATE)
        await bucket.put(SECRET, ReconcileScore(type="PodmanV0", data={}, revision="1"))
        yield running


@asynccontextmanager
async def logged_in(bus: Nats) -> AsyncIterator[Thief]:
    thief, user = Thief(), nats_server.device(DEVICE)
    await thief.client.connect(
        bus.server.url,
        user=user.name,
        password=user.password,
        inbox_prefix=user.inbox_prefix,
        error_cb=thief.on_error,
    )
    try:
        yield thief
    finally:
        await thief.client.close()


@pytest.mark.parametrize(
    ("subject", "payload"),
    [
        (f"$JS.API.STREAM.INFO.{DESIRED}", b'{"subjects_filter":">"}'),
        (f"$JS.API.STREAM.MSG.GET.{DESIRED}", b'{"seq":1}'),
        (f"$JS.API.STREAM.PURGE.{DESIRED}", b""),
        (f"$JS.API.STREAM.DELETE.{DESIRED}", b""),
        (f"$JS.API.DIRECT.GET.{DESIRED}", b'{"seq":1}'),
        (f"$JS.API.DIRECT.GET.{DESIRED}.$KV.desired-state.{SECRET}", b""),
        (f"$JS.API.CONSUMER.CREATE.{DESIRED}", b"{}"),
        (f"$JS.API.CONSUMER.CREATE.{DESIRED}.x.$KV.desired-state.>", b"{}"),
        (f"$JS.API.CONSUMER.LIST.{DESIRED}", b""),
        (f"$JS.API.CONSUMER.NAMES.{DESIRED}", b""),
        ("$JS.API.STREAM.CREATE.mine", b"{}"),
        (f"$KV.desired-state.{DEVICE}.web", b"{}"),
        (f"$KV.device-state.state.{OTHER}.web", b"{}"),
        (f"$KV.device-state.state.{DEVICE}.web.junk", b"{}"),
        (f"$KV.device-state.state.{DEVICE}", b"{}"),
        (f"$KV.device-info.info.{DEVICE}.junk", b"{}"),
        (f"$KV.device-heartbeat.heartbeat.{DEVICE}.junk", b"{}"),
        (f"$KV.device-info.info.{OTHER}", b"{}"),
        (f"$KV.device-heartbeat.heartbeat.{OTHER}", b"{}"),
        (f"_INBOX_{OTHER}.x", b"{}"),
    ],
    ids=str,
)
async def test_a_device_may_not_publish_to(bus: Nats, subject: str, payload: bytes):
    async with logged_in(bus) as thief:
        assert await thief.is_denied(subject, payload), thief.denials


@pytest.mark.parametrize(
    "subject", [">", "$KV.>", "$KV.desired-state.>", "_INBOX.>", f"_INBOX_{OTHER}.>", "$JS.>"]
)
async def test_a_device_may_not_listen_to(bus: Nats, subject: str):
    async with logged_in(bus) as thief:
        assert await thief.is_denied_listening(subject)


async def test_a_consumers_body_cannot_widen_what_its_subject_says(bus: Nats):
    request = jetstream.consumer_subject(kv.BUCKET_DESIRED_STATE, "x", f"{DEVICE}.>")
    config = {
        "name": "x",
        "ack_policy": "none",
        "deliver_policy": "last_per_subject",
        "deliver_subject": f"_INBOX_{DEVICE}.stolen",
    }
    async with logged_in(bus) as thief:
        for filters in (
            {"filter_subject": "$KV.desired-state.>"},
            {"filter_subjects": ["$KV.desired-state.>", f"$KV.desired-state.{DEVICE}.>"]},
            {},
        ):
            body = {"stream_name": DESIRED, "config": config | filters}
            answer = await thief.client.request(request, json.dumps(body).encode(), timeout=2)
            assert "error" in json.loads(answer.data), filters


async def test_a_roll_up_cannot_wipe_a_shared_bucket(bus: Nats):
    value = b'{"device_id":"pi-02","deployment":"web","phase":"Running","revision":"1"}'
    victim = kv.device_state_key(OTHER, DeploymentName("web"))
    await bus.post(kv.BUCKET_DEVICE_STATE, victim, value)
    async with logged_in(bus) as thief:
        answer = await thief.client.request(STATE, b"{}", headers={"Nats-Rollup": "all"}, timeout=2)
    assert "rollup not permitted" in json.loads(answer.data)["error"]["description"]
    assert isinstance(await bus.operator.bucket(DEVICE_STATE).get(victim), Put)


async def test_a_replay_for_another_device_tells_nothing(bus: Nats):
    async with aclosing(bus.agent.bucket(DESIRED_STATE).watch(f"{OTHER}.>")) as watch:
        waiting = asyncio.ensure_future(anext(watch))
        done, _ = await asyncio.wait([waiting], timeout=1)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert not done


async def test_the_operator_may_not_touch_other_streams(bus: Nats):
    with pytest.raises(errors.BusRefused):
        await bus.operator.ask("$JS.API.STREAM.INFO.KV_someone-elses")
    with pytest.raises(errors.BusRefused):
        await bus.operator.ask("$JS.API.STREAM.DELETE.KV_desired-state")


@pytest.mark.timeout(60)
async def test_a_thousand_and_one_devices_are_watched_for(bus: Nats):
    """Each by a watch of its own that sees its own keys; the server's default refuses the last."""
    patient = replace(harness.PACE, heartbeat=harness.PACE.heartbeat * 60)
    keys = [kv.desired_state_key(DeviceId(f"d-{n}"), DeploymentName("web")) for n in range(1001)]
    async with await harness.connect(bus.server, nats_server.OPERATOR, patient) as many:
        bucket = many.bucket(DESIRED_STATE)
        for key in keys:
            await bucket.put(key, VALUE)
        watches = [bucket.watch(f"{key.split('.')[0]}.>") for key in keys]
        for key, watch in zip(keys, watches, strict=True):
            assert (await following(watch)).key == key
            assert await following(watch) == Synced(frozenset({key}))
        for key in reversed(keys):
            await bucket.put(key, VALUE)
        for key, watch in zip(keys, watches, strict=True):
            assert (await following(watch)).key == key
            await watch.aclose()
    assert len(keys) < streams.MAX_CONSUMERS
