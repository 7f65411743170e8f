"""`lab.devices.agent_configuration`: the agent itself accepts what the lab writes for it."""

from dataclasses import replace
from pathlib import Path

import pytest

from fleet.agent import settings
from lab.devices import agent_configuration
from lab.devices.host_device import HostDevice
from lab.system.podman_configuration import Engine, Limits


@pytest.fixture
def device() -> HostDevice:
    return HostDevice(
        id="dev-01",
        index=1,
        labels={"site": "zurich", "example.org/rack": "r-7"},
        nats_url="nats://10.213.1.1:4222",
        credentials=Path("/srv/dev-01.json"),
        registry="10.213.1.1:5000",
    )


@pytest.mark.parametrize("limits", [None, Limits(1024, 1000)], ids=["own", "lowered"])
def test_the_agent_accepts_its_configuration(device: HostDevice, limits, tmp_path: Path):
    text = agent_configuration.agent_config(
        device,
        Engine("runc", limits),
        socket=Path("/srv/podman.sock"),
        credentials=Path("/srv/credentials.json"),
        state_dir=Path("/srv/state"),
    )
    path = tmp_path / "agent.toml"
    path.write_text(text)

    found = settings.load(path)

    assert found.device_id == "dev-01"
    assert found.labels == device.labels
    assert found.state_dir == Path("/srv/state")
    assert found.nats.url == device.nats_url
    assert found.nats.credentials == Path("/srv/credentials.json")
    assert found.podman.socket == "unix:///srv/podman.sock"
    assert found.podman.ulimits == (limits.as_dict() if limits else {})
    assert found.nats.heartbeat_interval == 10


def test_an_interval_of_the_labs_own_is_the_agents(device: HostDevice, tmp_path: Path):
    path = tmp_path / "agent.toml"
    paths = {"socket": Path("/s"), "credentials": Path("/c"), "state_dir": Path("/d")}
    quick = replace(device, heartbeat_interval=4)

    path.write_text(agent_configuration.agent_config(quick, Engine("runc", None), **paths))

    assert settings.load(path).nats.heartbeat_interval == 4
    # An agent of before knows no such key.
    assert "heartbeat" not in agent_configuration.agent_config(
        device, Engine("runc", None), **paths
    )
