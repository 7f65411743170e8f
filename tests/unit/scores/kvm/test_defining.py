"""Domains, networks and pools on libvirt's own test driver: as wanted once, and ours alone."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.kvm import defining
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.defining import NetworkScore, PoolScore
from fleet.scores.kvm.hypervisor import Hypervisor, Power
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.networks import DhcpHost, Network
from fleet.scores.kvm.pools import NAME, HarmonyFleetPool
from fleet.scores.score import Change

pytest.importorskip("libvirt", reason="libvirt's binding is not installed")

KEPT = DhcpHost(MacAddress.of("a"), IPv4Address("10.0.0.9"), "a")
NETWORK = Network(
    "fleet", "lab", "fl9", IPv4Interface("10.0.0.1/24"), nat=True,
    first=IPv4Address("10.0.0.10"), last=IPv4Address("10.0.0.20"), hosts=(KEPT,),
)  # fmt: skip


@dataclass(frozen=True)
class Host:
    hypervisor: Hypervisor


@pytest.fixture
def host() -> Iterator[Host]:
    with LibvirtHypervisor.connect("test:///default") as hypervisor:
        yield Host(hypervisor)


def test_a_network_is_defined_and_up_and_a_second_run_changes_nothing(host: Host):
    score = NetworkScore(NETWORK)
    assert score.interpret(host).expect().change is Change.CHANGED
    assert score.interpret(host).expect().change is Change.UNCHANGED
    found = host.hypervisor.find_network("fleet")
    assert found is not None
    assert found.is_active
    assert found.starts_itself


def test_a_dry_run_defines_nothing(host: Host):
    assert NetworkScore(NETWORK).interpret(host, dry_run=True).change is Change.CHANGED
    assert host.hypervisor.find_network("fleet") is None


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"hosts": ()}, "network/ip/dhcp/host: 1 of them, not 0"),
        ({"hosts": (), "first": None, "last": None}, "network/ip/dhcp: 1 of them, not 0"),
        ({"nat": False}, "network/forward: 1 of them, not 0"),
        ({"bridge": "fl8"}, "network/bridge name is fl9, not fl8"),
    ],
    ids=str,
)
def test_a_changed_network_comes_up_as_it_is_wanted_now(host: Host, changes, difference: str):
    NetworkScore(NETWORK).interpret(host).expect()
    changed = NetworkScore(dataclasses.replace(NETWORK, **changes))
    assert changed.interpret(host).expect().details == (difference,)
    assert changed.differences(host) == ()


def test_a_network_that_a_running_machine_is_plugged_into_is_not_taken_down(host: Host):
    NetworkScore(NETWORK).interpret(host).expect()
    machine = host.hypervisor.domains()[0]
    host.hypervisor.define(machine.xml.replace("network='default'", "network='fleet'"))
    changed = NetworkScore(dataclasses.replace(NETWORK, nat=False))
    with pytest.raises(errors.NotReady, match=f"{machine.name} are plugged into it"):
        changed.interpret(host).expect()
    found = host.hypervisor.find_network("fleet")
    assert found is not None
    assert found.is_active


def test_a_network_of_somebody_else_is_refused_and_not_touched(host: Host):
    before = host.hypervisor.find_network("default")
    with pytest.raises(errors.NotOurs, match="network default is there"):
        NetworkScore(dataclasses.replace(NETWORK, name="default")).interpret(host).expect()
    assert host.hypervisor.find_network("default") == before


def test_a_pool_is_made_once(host: Host):
    pool = HarmonyFleetPool(Path("/pool"))
    assert PoolScore(pool).interpret(host).expect().change is Change.CHANGED
    assert PoolScore(pool).interpret(host).expect().change is Change.UNCHANGED
    assert defining.ensure_harmony_fleet_pool(host, pool).name == NAME


def test_a_pool_of_somebody_else_is_refused_and_not_touched(host: Host):
    before = host.hypervisor.find_pool("default-pool")
    with pytest.raises(errors.NotOurs, match="HARMONY_FLEET_POOL_NAME"):
        PoolScore(HarmonyFleetPool(Path("/pool"), "default-pool")).interpret(host).expect()
    assert host.hypervisor.find_pool("default-pool") == before


def test_a_pool_is_named_by_the_environment(tmp_path: Path):
    environ = {"HARMONY_DATA_DIR": str(tmp_path), "HARMONY_FLEET_POOL_NAME": "mine"}
    assert HarmonyFleetPool.from_env(environ).name == "mine"
    assert HarmonyFleetPool.from_env({"HARMONY_DATA_DIR": str(tmp_path)}).name == "harmony-fleet"


@pytest.mark.parametrize("name", ["-x", "a/b", "", "a b"])
def test_a_pool_has_a_plain_name(name: str):
    with pytest.raises(errors.InvalidConfig, match="can't name"):
        HarmonyFleetPool(Path("/pool"), name)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"owner": ""}, "owner"),
        ({"bridge": "x" * 16}, "1 to 15"),
        ({"last": None}, "first and a last"),
        ({"last": IPv4Address("10.0.0.2")}, "after it ends"),
        ({"last": IPv4Address("10.0.1.2")}, "not in 10.0.0.0/24"),
        ({"first": IPv4Address("10.0.0.1")}, "taken"),
        ({"hosts": (KEPT, KEPT)}, "same hardware address"),
    ],
    ids=str,
)
def test_what_is_no_network_is_refused(changes, rule):
    with pytest.raises(errors.InvalidConfig, match=rule):
        dataclasses.replace(NETWORK, **changes)


def test_verbs_are_safe_to_say_again(host: Host):
    machine = host.hypervisor.domains()[0].name
    for verb, state in (
        (host.hypervisor.suspend, Power.PAUSED),
        (host.hypervisor.resume, Power.RUNNING),
        (host.hypervisor.destroy, Power.OFF),
        (host.hypervisor.start, Power.RUNNING),
    ):
        verb(machine)
        verb(machine)
        found = host.hypervisor.find(machine)
        assert found is not None
        assert found.state is state


def test_what_is_not_there_is_refused_or_not_found(host: Host):
    assert host.hypervisor.find("nothing") is None
    with pytest.raises(errors.HypervisorRefused, match="not found"):
        host.hypervisor.start("nothing")


def test_a_libvirt_that_is_not_there_is_unavailable(tmp_path: Path):
    with pytest.raises(errors.HypervisorUnavailable, match="Failed to connect"):
        LibvirtHypervisor.connect(f"qemu+unix:///system?socket={tmp_path / 'no-sock'}")


def test_a_connection_that_was_closed_is_opened_again(host: Host):
    assert isinstance(host.hypervisor, LibvirtHypervisor)
    host.hypervisor.close()
    assert host.hypervisor.domains()
