"""What a reader of either bus makes of the values of devices that have no clock, or no sense."""

from contextlib import aclosing

import pytest

from fleet.bus.port import Put, Synced, Undecodable
from fleet.contracts import kv
from fleet.contracts.messages import DEVICE_STATE
from fleet.contracts.names import DeploymentName
from tests.integration.bus.harness import DEVICE, Harness, following

KEY = kv.device_state_key(DEVICE, DeploymentName("web"))
STATE = (
    '{{"device_id":"pi-01","deployment":"web","phase":"Failed","revision":"1","updated_at":"{}"}}'
)


@pytest.mark.parametrize(
    "told", ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "noon"]
)
async def test_a_time_that_cannot_be_right_is_the_servers(bus: Harness, told: str):
    await bus.post(DEVICE_STATE.bucket, KEY, STATE.format(told).encode())
    async with aclosing(bus.operator.bucket(DEVICE_STATE).watch()) as watch:
        event = await following(watch)
    assert isinstance(event, Put)
    assert event.value.updated_at == event.at
    assert event.time_replaced


async def test_a_time_that_may_be_right_is_the_devices(bus: Harness):
    await bus.post(DEVICE_STATE.bucket, KEY, STATE.format("2099-01-01T00:00:00Z").encode())
    event = await bus.operator.bucket(DEVICE_STATE).get(KEY)
    assert isinstance(event, Put)
    told = event.at.replace(microsecond=0).isoformat()
    await bus.post(DEVICE_STATE.bucket, KEY, STATE.format(told).encode())
    event = await bus.operator.bucket(DEVICE_STATE).get(KEY)
    assert isinstance(event, Put)
    assert event.value.updated_at is not None
    assert event.value.updated_at.isoformat() == told
    assert not event.time_replaced


@pytest.mark.parametrize("junk", [b"[" * 3000, b'{"x":' * 3000, b"\xff\xfe", b"9" * 5000])
async def test_a_watch_goes_on_after_a_value_that_is_none(bus: Harness, junk: bytes):
    async with aclosing(bus.operator.bucket(DEVICE_STATE).watch()) as watch:
        assert isinstance(await following(watch), Synced)
        await bus.post(DEVICE_STATE.bucket, KEY, b'{"device_id":"pi-01","x":' + junk)
        assert isinstance(await following(watch), Undecodable)
        await bus.post(DEVICE_STATE.bucket, KEY, STATE.format("2026-01-01T00:00:00Z").encode())
        assert isinstance(await following(watch), Put)
