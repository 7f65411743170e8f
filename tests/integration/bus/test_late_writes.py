"""A write that its caller has given up reaches the server all the same, when it is too late."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fleet import errors
from fleet.bus import nats, streams
from fleet.bus.pace import Pace
from fleet.bus.port import Bucket, Put
from fleet.contracts import kv
from fleet.contracts.messages import DEVICE_STATE, DeploymentState, Phase
from fleet.contracts.names import DeploymentName
from lab.soak import waits
from lab.soak.hub.proxy import proxying
from lab.system import ports
from tests import nats_server
from tests.integration.bus import harness
from tests.integration.bus.harness import DEVICE

KEY = kv.device_state_key(DEVICE, DeploymentName("web"))
QUICK = Pace(
    jitter=timedelta(0),
    first_retry=timedelta(seconds=0.05),
    patience=timedelta(seconds=0.3),
    ping=timedelta(seconds=0.3),
)
WITHIN = 10.0

Write = Callable[[Bucket[DeploymentState]], Awaitable[int]]


def state(revision: str) -> DeploymentState:
    return DeploymentState(DEVICE, DeploymentName("web"), Phase.RUNNING, revision)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda bucket: bucket.put(KEY, state("old")), id="a value"),
        pytest.param(lambda bucket: bucket.delete(KEY), id="a marker"),
    ],
)
@pytest.mark.parametrize("written", [0, 1], ids=["the first of its key", "a later one"])
async def test_a_write_that_was_given_up_never_replaces_a_later_one(
    tmp_path: Path, write: Write, written: int
):
    users = [nats_server.OPERATOR, agent := nats_server.device(DEVICE)]
    with nats_server.running_nats(tmp_path, users) as server:
        async with (
            await harness.connect(server, nats_server.OPERATOR) as operator,
            proxying(("127.0.0.1", server.port), ports.free()) as proxy,
            await nats.connect(
                f"nats://127.0.0.1:{proxy.port}",
                credentials=server.credentials(agent),
                name=agent.name,
                inbox_prefix=agent.inbox_prefix,
                pace=QUICK,
            ) as bus,
        ):
            await streams.ensure_streams(operator)
            await bus.wait_for_session()
            bucket = bus.bucket(DEVICE_STATE)
            for number in range(written):
                await bucket.put(KEY, state(str(number)))
            proxy.hold()
            with pytest.raises(errors.BusUnavailable):
                await write(bucket)
            await bus.wait_for_session(1)
            await bucket.put(KEY, state("newer"))
            await bucket.put(KEY, state("newest"))
            await proxy.mend()
            await waits.until(
                "what was held back is delivered",
                lambda: "" if proxy.open == 1 else f"{proxy.open} connections",
                within=WITHIN,
            )
            await operator.server_time()  # whatever came before has been stored
            found = await operator.bucket(DEVICE_STATE).get(KEY)
    assert isinstance(found, Put)
    assert found.value.revision == "newest"
