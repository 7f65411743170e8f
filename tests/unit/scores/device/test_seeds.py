"""What a machine is told at its first boot: documents that cloud-init reads, with golden files."""

import json
import shlex
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest
import yaml

from fleet.scores.device import seeds, travelling
from fleet.scores.device.configuration import FleetDeviceSetupConfig, Hub
from fleet.scores.device.keys import HostKey
from fleet.scores.device.seeds import Link
from fleet.scores.kvm.addresses import MacAddress
from tests.unit.scores.device.making import BUNDLE, CONFIG, PUBLIC_KEY, config

GOLDEN = Path(__file__).parent / "golden"
HOST_KEY = HostKey("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "ssh-ed25519 AAAAhost")
LINK = Link(
    MacAddress("52-54-00-D5-01-0B"),
    IPv4Interface("10.213.1.11/24"),
    IPv4Address("10.213.1.1"),
    (IPv4Address("10.213.1.1"),),
)


def bare():
    return seeds.bare("dev-01", host_key=HOST_KEY, keys=(PUBLIC_KEY,), link=LINK)


def self_set(wanted=CONFIG):
    return seeds.self_set(wanted, host_key=HOST_KEY, link=LINK)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bare.user-data", bare().user_data),
        ("self-set.user-data", self_set().user_data),
        ("meta-data", self_set().meta_data),
        ("network-config", self_set().network_config),
    ],
)
def test_a_document_is_as_it_was(name, text):
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("seed", [bare(), self_set()], ids=["bare", "self-set"])
def test_every_document_is_yaml_and_the_first_says_what_it_is(seed):
    assert seed.user_data.startswith("#cloud-config\n")
    for name in ("user-data", "meta-data", "network-config"):
        assert isinstance(yaml.safe_load(seed.contents()[name]), dict)


def test_a_machine_without_a_link_is_told_nothing_of_networks():
    seed = seeds.bare("dev-01", host_key=HOST_KEY, keys=(PUBLIC_KEY,), link=None)
    assert "network-config" not in seed.contents()


def test_a_link_without_a_gateway_has_no_route():
    text = seeds.network_config(Link(LINK.mac, LINK.address))
    assert yaml.safe_load(text)["ethernets"]["eth0"].keys().isdisjoint({"routes", "nameservers"})


def test_the_machine_finds_its_bundle_where_the_seed_is_mounted():
    files = self_set().files
    there = travelling.decode(files["setup.json"], FleetDeviceSetupConfig)
    assert there.bundle.path == Path("/run/fleet-seed/agent.tar.gz")
    assert files["agent.tar.gz"] == BUNDLE.path
    assert there.bundle.digest == BUNDLE.digest


def test_commands_are_arguments_that_no_shell_would_read_otherwise():
    for command in seeds.commands():
        assert shlex.split(" ".join(command)) == list(command)


def test_another_setting_is_the_same_machine_to_cloud_init():
    other = self_set(config(hub=Hub(url="nats://elsewhere")))
    assert other.meta_data == self_set().meta_data


def test_another_host_key_is_another_machine_to_cloud_init():
    other = seeds.self_set(CONFIG, host_key=HostKey("x", "ssh-ed25519 AAAAother"), link=LINK)
    assert json.loads(other.meta_data) != json.loads(self_set().meta_data)


def test_no_secret_shows_in_what_a_log_would_write():
    assert "PRIVATE KEY" not in repr(self_set())
    assert "top secret" not in repr(self_set())
