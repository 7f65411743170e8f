"""`lab.broker.heartbeats`: who was heard and when is the broker's word, and who wasn't is named."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fleet import errors
from fleet.bus import nats, streams
from fleet.contracts import kv, messages
from fleet.contracts.messages import HeartbeatPayload
from fleet.contracts.names import DeviceId
from lab.broker import heartbeats, stage
from lab.broker.process import PART
from lab.broker.stage import ADMIN, Broker
from lab.errors import WaitTimedOut
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
