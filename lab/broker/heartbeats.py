"""When the lab's broker last heard each device, by the broker's own clock, which is this host's."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime

from fleet import errors
from fleet.bus import nats
from fleet.bus.port import Put
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId
from lab.broker.stage import ADMIN, Broker

_CONNECTS_WITHIN = 10


def last_heard(broker: Broker, devices: Iterable[DeviceId]) -> Mapping[DeviceId, datetime]:
    """
    Return when each of *devices* that was ever heard was last heard, UTC.

    :raises errors.BusUnavailable: the broker doesn't answer, or has no heartbeats yet.
    """
    return asyncio.run(_last_heard(broker, tuple(devices)))


async def _last_heard(broker: Broker, devices: tuple[DeviceId, ...]) -> Mapping[DeviceId, datetime]:
    credentials = broker.credentials(ADMIN)
    bus = await nats.connect(broker.url, credentials=credentials, name="lab")
    async with bus:
        try:
            async with asyncio.timeout(_CONNECTS_WITHIN):
                await bus.wait_for_session()
        except TimeoutError as exc:
            raise errors.BusUnavailable(f"{broker.url} doesn't answer", element="nats") from exc
        bucket = bus.bucket(messages.DEVICE_HEARTBEAT)
        found = {device: await bucket.get(kv.device_heartbeat_key(device)) for device in devices}
    return {device: entry.at for device, entry in found.items() if isinstance(entry, Put)}
