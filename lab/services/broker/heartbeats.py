"""When the lab's broker last heard each device, by the broker's own clock, which is this host's."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from datetime import datetime

from fleet import errors
from fleet.bus.port import Bus, Put
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from lab.errors import WaitTimedOut
from lab.services.broker.stage import ADMIN, Broker
from lab.system import waiting

_CONNECTS_WITHIN = 5
_HEARD_WITHIN = 150  # a link that broke unseen is noticed by 30 s; the rest is a busy host's
_LOOK_EVERY = 0.3


def last_heard(broker: Broker, devices: Iterable[DeviceId]) -> Mapping[DeviceId, datetime]:
    """
    Return when each of *devices* that was ever heard was last heard, UTC.

    :raises errors.BusUnavailable: the broker doesn't answer, or has no heartbeats yet.
    """
    return asyncio.run(_last_heard(broker, tuple(devices)))


def heard_only(broker: Broker) -> tuple[DeviceId, ...]:
    """
    Return the devices that are heard, and of which nothing says what they are.

    Such is one whose `Device` was deleted while its agent lived on: it is registered again when the
    agent tells anew what it is, which it does when it starts.

    :raises errors.BusUnavailable: the broker doesn't answer, or has no heartbeats yet.
    """
    return asyncio.run(_heard_only(broker))


def await_heard(
    broker: Broker,
    since: datetime,
    *,
    saw: Callable[[str], None],
    within: float = _HEARD_WITHIN,
) -> Mapping[str, datetime]:
    """
    Wait until each device of *broker* was heard after *since*, and return when it last was.

    :raises WaitTimedOut: names those that were not.
    """
    heard: dict[str, datetime] = {}

    def probe() -> str:
        found = last_heard(broker, broker.devices)
        heard.update({device: at for device, at in found.items() if at > since})
        silent = [device for device in broker.devices if device not in heard]
        return f"not heard yet: {', '.join(silent)}" if silent else ""

    try:
        waiting.wait_for("every device is heard", probe, within=within, every=_LOOK_EVERY, saw=saw)
    except WaitTimedOut as exc:
        exc.hint = "a machine's agent: invoke lab.exec DEVICE -- journalctl -u fleet-agent"
        raise
    return heard


async def _last_heard(broker: Broker, devices: tuple[DeviceId, ...]) -> Mapping[DeviceId, datetime]:
    async with _admin(broker) as bus:
        return await _heartbeats(bus, devices)


async def _heard_only(broker: Broker) -> tuple[DeviceId, ...]:
    async with _admin(broker) as bus:
        bucket = bus.bucket(messages.DEVICE_INFO)
        heard = await _heartbeats(bus, broker.devices)
        told = {device: await bucket.get(kv.device_info_key(device)) for device in heard}
    return tuple(device for device, entry in told.items() if not isinstance(entry, Put))


async def _heartbeats(bus: Bus, devices: Iterable[DeviceId]) -> Mapping[DeviceId, datetime]:
    bucket = bus.bucket(messages.DEVICE_HEARTBEAT)
    found = {device: await bucket.get(kv.device_heartbeat_key(device)) for device in devices}
    return {device: entry.at for device, entry in found.items() if isinstance(entry, Put)}


@contextlib.asynccontextmanager
async def _admin(broker: Broker) -> AsyncIterator[Bus]:
    # Here, so that the commands that look at no heartbeats needn't load NATS' client.
    from fleet.bus import nats  # noqa: PLC0415

    credentials = broker.credentials(ADMIN)
    bus = await nats.connect(broker.url, credentials=credentials, name="lab", pace=nats.ALONE)
    async with bus:
        try:
            async with asyncio.timeout(_CONNECTS_WITHIN):
                await bus.wait_for_session()
        except TimeoutError as exc:
            raise errors.BusUnavailable(f"{broker.url} doesn't answer", element="nats") from exc
        yield bus
