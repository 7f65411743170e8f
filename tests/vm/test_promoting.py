"""A machine becomes the host of a site's firewalls, over SSH, by scores alone."""

import platform
from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest

from fleet.scores.kvm import promotion
from fleet.scores.kvm.firewall import DIRECTORY, FirewallVmHostScore
from fleet.scores.kvm.networks import Network
from fleet.scores.kvm.pools import NAME
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change
from lab.devices.vm import package_proxy, setup
from lab.devices.vm.device import VmDevice
from lab.lifecycle import status as statuses
from tests.using_lab.labs import Lab
from tests.vm.machines import Machine

WITHIN = 1800  # some eighty packages are unpacked on an emulated processor
WAN = Network(
    "wan", "site", "fw-wan", IPv4Interface("10.99.1.1/24"), nat=True,
    first=IPv4Address("10.99.1.10"), last=IPv4Address("10.99.1.20"),
)  # fmt: skip
LAN = Network("lan", "site", "fw-lan", IPv4Interface("10.99.2.1/24"))
WANTED = FirewallVmHostScore((WAN, LAN))


@pytest.mark.slow
@pytest.mark.timeout(WITHIN)
def test_a_bare_machine_hosts_firewalls_by_scores_alone_and_a_second_run_changes_nothing(
    lab: Lab, machine: Machine, host: Any
):
    place, device = statuses.device_of(lab.name, machine.id)
    assert isinstance(device, VmDevice)
    if device.arch != platform.machine():
        pytest.skip(f"eighty packages take an hour where {device.arch} is another's processor")
    with setup.log_in(place, device) as there:
        bare = LinuxHostTopology(there)
        assert "libvirt-daemon-system isn't installed" in WANTED.differences(bare)

        with package_proxy.packages(place, device, bare):
            assert WANTED.interpret(bare).expect().change is Change.CHANGED

        assert WANTED.interpret(bare).expect().change is Change.UNCHANGED
        each = [score.interpret(bare).expect() for score in promotion.SCORES]
        assert {outcome.change for outcome in each} == {Change.UNCHANGED}
        with bare.promote() as promoted:
            assert promoted.hypervisor.domains() == (), "what was tried is gone"
            assert promoted.hypervisor.find_pool(NAME)
            assert promoted.accelerator is not None
            assert promoted.accelerator.reason

    assert host.service("libvirtd.socket").is_enabled
    assert "libvirt" in host.user("fleet-admin").groups
    assert host.file(str(DIRECTORY)).is_directory
    for network in (WAN, LAN):
        assert str(network.gateway.ip) in host.interface(network.bridge).addresses
    assert host.file("/etc/apt/sources.list.d").listdir() == [], "what was lent is taken back"
    assert host.file("/etc/apt/apt.conf.d/90fleet-lab").exists is False
