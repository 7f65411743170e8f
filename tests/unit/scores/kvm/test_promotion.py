"""Promotion: a libvirt that answers is used as it is; a machine without one gets it by scores."""

from ipaddress import IPv4Interface
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.kvm import promotion
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.firewall import FirewallVmHostScore
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.networks import Network
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.kvm.promotion import PromotionScore
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.machine import Answer
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change
from tests.unit.scores.kvm.machines import Told

pytest.importorskip("libvirt", reason="libvirt's binding is not installed")

URI = "test:///default"
NETWORK = Network("wan", "site", "br-wan", IPv4Interface("10.9.0.1/24"))
POOL = HarmonyFleetPool(Path("/pool"))


class Emulating(LibvirtHypervisor):
    """libvirt's test driver, which says of itself that it emulates nothing."""

    def runs(self, arch: Arch, accelerator: Accelerator) -> bool:
        del arch, accelerator
        return True


def away(uri: str) -> LibvirtHypervisor:
    raise errors.HypervisorUnavailable("nobody answers", element=uri)


def units(*there: str) -> Answer:
    """Answer as systemd does of sockets, of which *there* exist and run."""
    asked = ("libvirtd.socket", "virtqemud.socket")
    return Answer(0, "\n\n".join(_unit(name, name in there) for name in asked).encode())


def _unit(name: str, is_there: bool) -> str:
    words = ("loaded", "active", "enabled") if is_there else ("not-found", "inactive", "")
    return "Id={}\nLoadState={}\nActiveState={}\nUnitFileState={}\nNeedDaemonReload=no".format(
        name, *words
    )


@pytest.fixture
def held():
    """Keep libvirt's test driver as it is from one connection to the next."""
    with LibvirtHypervisor.connect(URI) as hypervisor:
        yield hypervisor


def test_a_libvirt_that_answers_is_used_and_the_machine_not_asked_of_packages_or_units():
    host = Told({"uname": Answer(0, b"x86_64\n")})
    promoted = promotion.promote(LinuxHostTopology(host), uri=URI, connect=Emulating.connect)
    assert promoted.hypervisor.uri == URI
    assert host.asked == ["uname -m"]


def test_the_probe_leaves_no_machine_behind(held: LibvirtHypervisor):
    host = Told({"uname": Answer(0, b"x86_64\n")})
    before = [domain.name for domain in held.domains()]
    promotion.promote(LinuxHostTopology(host), uri=URI, connect=Emulating.connect)
    assert [domain.name for domain in held.domains()] == before


def test_a_libvirt_that_emulates_nothing_is_refused_with_what_would_help():
    host = Told({"uname": Answer(0, b"x86_64\n")})
    with pytest.raises(errors.HostUnsupported, match="install qemu-system"):
        promotion.promote(LinuxHostTopology(host), uri=URI)


def test_nixos_is_refused_with_the_line_to_add():
    host = Told({"cat": Answer(0, b"ID=nixos\n"), "test": Answer(0), "stat": Answer(0)})
    with pytest.raises(errors.HostUnsupported, match=r"virtualisation\.libvirtd\.enable = true;"):
        promotion.promote(LinuxHostTopology(host), connect=away)


@pytest.mark.parametrize(
    ("there", "wanted"),
    [
        (("libvirtd.socket",), ["virtlogd.socket", "libvirtd.socket"]),
        (("virtqemud.socket",), ["virtlogd.socket", "virtqemud.socket", "virtnetworkd.socket",
                                 "virtstoraged.socket", "virtnodedevd.socket"]),
    ],
    ids=["one daemon", "a daemon for each part"],
)  # fmt: skip
def test_services_are_chosen_by_which_units_exist(there, wanted):
    host = Told({"systemctl show": units(*there)})
    chosen = promotion._units(LinuxHostTopology(host))
    assert [score.unit for score in chosen] == wanted


def test_a_machine_without_libvirt_and_units_says_what_it_needs():
    host = Told({"systemctl show": units()})
    with pytest.raises(errors.HostUnsupported, match=r"no unit libvirtd\.socket or virtqemud"):
        promotion.LibvirtServicesScore().differences(LinuxHostTopology(host))


def test_a_hypervisor_is_no_difference():
    host = Told({})
    assert PromotionScore(URI, Emulating.connect).differences(LinuxHostTopology(host)) == ()


def test_a_firewall_host_gets_pool_and_networks_once(held: LibvirtHypervisor):
    host = LinuxHostTopology(Told({"uname": Answer(0, b"x86_64\n")}))
    score = FirewallVmHostScore((NETWORK,), POOL, URI, Emulating.connect)
    assert score.interpret(host).expect().change is Change.CHANGED
    assert held.find_network("wan") is not None
    assert held.find_pool(POOL.name) is not None
    assert score.interpret(host).expect().change is Change.UNCHANGED
