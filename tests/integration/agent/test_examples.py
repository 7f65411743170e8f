"""The examples, as they stand in the repository, on a device."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start
from tests.podman_host import IMAGE, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

EXAMPLES = Path(__file__).parents[3] / "examples"


def services_of(example: str) -> list[dict[str, Any]]:
    """Read the services of an example, with the image of the tests in each."""
    manifest = yaml.safe_load((EXAMPLES / example).read_text())
    services = manifest["spec"]["score"]["data"]["services"]
    return [{**service, "image": IMAGE} for service in services]


async def test_the_notice_board_is_written_served_and_kept_over_an_update(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    writer, web = services_of("notice-board.yaml")

    async def is_served() -> bool:
        url = "http://127.0.0.1:8081/"
        return host.run("busybox", "wget", "-qO-", url, check=False) == "notices of edge"

    async with start_agent():
        await hub.deploy("notice-board", writer, web)
        await hub.reaches("notice-board", Phase.RUNNING, within=30)
        await eventually(is_served, "the notices are served")
        before = host.containers()

        # The new writer writes nothing: what is served then was kept.
        idle = {**writer, "args": ["sleep 1000"]}
        revision = await hub.deploy("notice-board", idle, web)
        await hub.reaches("notice-board", Phase.RUNNING, revision=revision, within=30)
        await eventually(is_served, "the notices are served still")
    after = host.containers()
    assert after["fleet.notice-board.web"] == before["fleet.notice-board.web"]
    assert after["fleet.notice-board.writer"] != before["fleet.notice-board.writer"]
