"""Who was heard, and when, is the broker's word (`services.broker.heartbeats`)."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet import errors
from fleet.bus import nats, streams
from fleet.contracts import kv, messages
from fleet.contracts.messages import DeviceInfo, HeartbeatPayload
from fleet.contracts.names import DeviceId
from lab.errors import WaitTimedOut
from lab.lifecycle.registration import Registering, Restart
from lab.services.broker import heartbeats, stage
from lab.services.broker.process import PART
from lab.services.broker.stage import ADMIN, Broker
from tests.lab_host import LOOPBACK, bring_about, kill, lab_host, needs

pytestmark = [pytest.mark.timeout(90), needs(PART)]

ONE, TWO = DeviceId("dev-01"), DeviceId("dev-02")
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@pytest.fixture
def broker(tmp_path: Path):
    """A broker with two devices, of which nobody was heard."""
    with lab_host(tmp_path) as host:
        broker = stage.broker(host, (ONE, TWO), LOOPBACK)
        bring_about(stage.scores(broker), host)
        yield broker, host


def speak(broker: Broker, *devices: DeviceId) -> None:
    """Have *devices* heard, as their agents do; what they say of the time counts for nothing."""

    async def put() -> None:
        credentials = broker.credentials(ADMIN)
        async with await nats.connect(broker.url, credentials=credentials, name="test") as bus:
            await bus.wait_for_session()
            await streams.ensure_streams(bus)
            bucket = bus.bucket(messages.DEVICE_HEARTBEAT)
            for device in devices:
                heartbeat = HeartbeatPayload(device_id=device, at=LONG_AGO)
                await bucket.put(kv.device_heartbeat_key(device), heartbeat)

    asyncio.run(put())


def introduce(broker: Broker, device: DeviceId) -> None:
    """Have *device* say what it is, as its agent does when it starts."""

    async def put() -> None:
        info = DeviceInfo(device_id=device, labels={})
        credentials = broker.credentials(ADMIN)
        async with await nats.connect(broker.url, credentials=credentials, name="test") as bus:
            await bus.wait_for_session()
            await bus.bucket(messages.DEVICE_INFO).put(kv.device_info_key(device), info)

    asyncio.run(put())


def test_devices_were_last_heard_when_the_broker_says(broker):
    hub, _ = broker
    before = datetime.now(UTC)
    speak(hub, ONE)
    heard = heartbeats.last_heard(hub, (ONE, TWO))
    assert set(heard) == {ONE}
    assert before <= heard[ONE] <= datetime.now(UTC)


def test_waiting_ends_once_all_were_heard_since(broker):
    hub, _ = broker
    since = datetime.now(UTC)
    speak(hub, ONE, TWO)
    heard = heartbeats.await_heard(hub, since, saw=lambda _: None)
    assert set(heard) == {ONE, TWO}


def test_who_was_heard_before_only_is_named(broker):
    hub, _ = broker
    speak(hub, TWO)
    since = datetime.now(UTC)
    speak(hub, ONE)
    seen: list[str] = []
    with pytest.raises(WaitTimedOut, match=r"not heard yet: dev-02$") as told:
        heartbeats.await_heard(hub, since, saw=seen.append, within=1)
    assert seen == ["not heard yet: dev-02"]
    assert "journalctl -u fleet-agent" in told.value.hint


def test_a_broker_that_is_gone_is_said_to_be(broker):
    hub, host = broker
    kill(host, PART)
    with pytest.raises(errors.BusUnavailable, match="doesn't answer"):
        heartbeats.last_heard(hub, (ONE,))


def test_a_device_that_is_heard_and_never_said_what_it_is_is_told_apart(broker):
    hub, _ = broker
    speak(hub, ONE, TWO)
    introduce(hub, TWO)
    assert heartbeats.heard_only(hub) == (ONE,)


def test_the_agent_of_a_device_that_was_taken_off_the_fleet_is_started_anew_and_no_other(broker):
    hub, host = broker
    speak(hub, ONE, TWO)
    introduce(hub, TWO)
    now = [0.0]
    started: list[str] = []
    restarts: dict[str, Restart] = {
        ONE: lambda _: started.append(ONE),
        TWO: lambda _: started.append(TWO),
    }
    registering = Registering(hub, restarts, patience=10, clock=lambda: now[0])

    registering.look(host)
    assert started == [], "it may be about to say what it is"
    now[0] = 10
    registering.look(host)
    registering.look(host)
    assert started == [ONE], "started once, and given time to start"
    introduce(hub, ONE)
    now[0] = 100
    registering.look(host)
    assert started == [ONE]
