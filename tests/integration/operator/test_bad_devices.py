"""A device whose password somebody else has, at a real server: the fleet goes on."""

import asyncio
from pathlib import Path

from fleet.bus import jetstream
from fleet.contracts import kv
from tests import nats_server
from tests.blackbox.wire import Wire
from tests.integration.bus.test_bad_deliveries import HEADERS, TOKENS
from tests.integration.operator.bus_scene import BusScene, bus_scene
from tests.unit.contracts.test_bounds import WRONG_TIMES
from tests.unit.operator.making import deployment_body

BAD = nats_server.device("bad-1")
STATE = (
    '{"device_id":"bad-1","deployment":"web","phase":"Failed","revision":"1",'
    '"error":{"reason":"\\u001b[2J","message":"%s"},"updated_at":"%s"}'
)
MESSAGES = (
    b"[" * 4000,
    b'{"device_id":"bad-1","x":' + b"[" * 3000,
    b'{"device_id":"bad-1","labels":{},"inventory":{"cpus":9223372036854775808}}',
    *(
        (STATE % ("x" * 2000, told)).encode()
        for told in WRONG_TIMES.values()
        if isinstance(told, str)
    ),
)
KEYS = (
    (kv.BUCKET_DEVICE_INFO, "info.bad-1"),
    (kv.BUCKET_DEVICE_HEARTBEAT, "heartbeat.bad-1"),
    (kv.BUCKET_DEVICE_STATE, "state.bad-1.web"),
    *((kv.BUCKET_DEVICE_STATE, f"state.bad-1.{token}") for token in TOKENS),
)


async def test_whatever_a_stolen_password_writes_the_fleet_goes_on(tmp_path: Path):
    async with bus_scene(tmp_path, others=[BAD]) as scene, scene.running():
        await scene.device.register({"site": "a"})
        scene.cluster.add(deployment_body())
        write_all(scene)
        wanted = await scene.until_wanted()
        obeying = asyncio.create_task(scene.device.obey())
        try:
            await scene.until(lambda: scene.cluster.status().get("ready") == "1/1", wanted.revision)
            await scene.until(
                lambda: scene.counter.counts["swept device-state"] >= len(TOKENS), "junk is swept"
            )
        finally:
            obeying.cancel()
        assert not {what for what in scene.counter.counts if what.startswith("failed")}


def write_all(scene: BusScene) -> None:
    credentials = scene.server.credentials(BAD)
    with Wire(scene.server.url, credentials, BAD.inbox_prefix) as wire:
        for bucket, key in KEYS:
            for message in MESSAGES:
                wire.publish(jetstream.subject(bucket, key), message)
            for headers in HEADERS:
                wire.ask(jetstream.subject(bucket, key), b"{}", headers)
