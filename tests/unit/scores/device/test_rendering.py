"""The files of a device: what the agent and the system read out of them."""

import ast
import configparser
import tomllib
from pathlib import Path

import pytest

from fleet.agent import settings
from fleet.scores.device import rendering
from fleet.scores.device.configuration import Hub, RegistryLogin, Secret
from tests.unit.scores.device.making import CONFIG, config

ROOT = Path(__file__).parents[4]
CREDS = "-----BEGIN NATS USER JWT-----\nabc\n------END NATS USER JWT------\n"


def loaded(tmp_path, wanted):
    (tmp_path / "config.toml").write_text(rendering.agent_config(wanted, 993))
    return settings.load(tmp_path / "config.toml")


def test_the_agent_reads_what_was_configured(tmp_path):
    found = loaded(tmp_path, config(ulimits={"nofile": 1024}, images_budget="1Gi"))
    assert found.device_id == "dev-01"
    assert found.labels == {"site": "lab", "example.com/tier": "edge"}
    assert found.nats.url == "nats://10.213.1.1:4222"
    assert found.nats.credentials == Path("/etc/fleet-agent/credentials.json")
    assert found.nats.ca is None
    assert found.state_dir == settings.DEFAULT_STATE_DIR
    assert found.podman.socket == "unix:///run/user/993/podman/podman.sock"
    assert found.podman.ulimits == {"nofile": 1024}
    assert found.images.budget == "1Gi"


def test_the_agent_reads_where_signed_credentials_and_the_authority_lie(tmp_path):
    hub = Hub(url="tls://hub:4222", credentials=Secret(CREDS), ca="-----BEGIN CERTIFICATE-----")
    found = loaded(tmp_path, config(hub=hub)).nats
    assert found.credentials == Path("/etc/fleet-agent/credentials.creds")
    assert found.ca == Path("/etc/fleet-agent/ca.pem")


def test_the_agent_reads_its_registries_but_no_password(tmp_path):
    registries = {
        "10.0.0.1:5000": RegistryLogin(insecure=True),
        "registry.example/team": RegistryLogin(username="fleet", password=Secret("hush")),
    }
    text = rendering.agent_config(config(registries=registries), 993)
    assert "hush" not in text
    assert 'password_file = "/etc/fleet-agent/registry-' in text.replace(
        '"password_file"', "password_file"
    )
    plain = loaded(tmp_path, config(registries={"10.0.0.1:5000": RegistryLogin(insecure=True)}))
    assert plain.registries["10.0.0.1:5000"].insecure


def test_the_agent_reads_what_its_owner_allows_and_one_of_before_reads_a_file_without(tmp_path):
    assert loaded(tmp_path, config(host_paths=("/var",))).host_paths.allow == (Path("/var"),)
    assert "host_paths" not in rendering.agent_config(config(), 993)


@pytest.mark.parametrize("value", ['quo"te', "back\\slash"])
def test_nothing_that_is_configured_ends_a_string_early(value):
    registries = {"10.0.0.1:5000": RegistryLogin(username=value, password=Secret("hush"))}
    text = rendering.agent_config(config(registries=registries), 993)
    assert tomllib.loads(text)["registries"]["10.0.0.1:5000"]["username"] == value


def test_the_launcher_is_a_program_of_the_systems_own_python_and_nothing_else_leads_it():
    text = rendering.launcher()
    assert text.startswith("#!/usr/bin/python3 -I\n")
    ast.parse(text)


def test_the_unit_is_the_one_that_is_deployed():
    assert rendering.unit() == (ROOT / "deploy/systemd/fleet-agent.service").read_text()


def test_the_unit_starts_and_keeps_an_agent_too_that_knows_no_watchdog():
    """An upgrade that goes back starts the older agent by this unit."""
    lines = rendering.unit().splitlines()
    assert "NotifyAccess=main" in lines
    assert "Type=exec" in lines
    assert not [line for line in lines if line.startswith("WatchdogSec=")]


def test_the_unit_lets_the_agent_look_for_device_nodes_and_open_none():
    lines = rendering.unit().splitlines()
    assert "DevicePolicy=closed" in lines
    assert not [line for line in lines if line.startswith("PrivateDevices=")]


def test_the_unit_waits_for_the_manager_of_its_own_user():
    text = rendering.unit_addition(993, "abc")
    parsed = configparser.ConfigParser(strict=True)
    parsed.read_string(text)
    assert parsed["Unit"]["After"] == parsed["Unit"]["Wants"] == "user@993.service"
    assert parsed["Service"]["Environment"] == "FLEET_SETUP=abc"


def test_nobody_logs_in_by_password_unless_there_is_one():
    assert "PasswordAuthentication no" in rendering.sshd(CONFIG)
    assert "PasswordAuthentication yes" in rendering.sshd(config(admin_password=Secret("x")))
    assert "PermitRootLogin no" in rendering.sshd(config(admin_password=Secret("x")))


def test_time_servers_are_named_only_where_there_are_some():
    assert "NTP=10.213.1.1\n" in rendering.timesyncd(CONFIG)
    assert "NTP" not in rendering.timesyncd(config(time_servers=()))


def test_the_agent_reads_how_often_it_beats_and_one_of_before_reads_a_file_without(tmp_path):
    hub = Hub(url="nats://hub:4222", heartbeat_interval=4)
    assert loaded(tmp_path, config(hub=hub)).nats.heartbeat_interval == 4
    assert "heartbeat_interval" not in rendering.agent_config(config(), 993)
