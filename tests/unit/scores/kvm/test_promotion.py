"""Promotion: a libvirt that answers is used as it is; a machine without one gets it by scores."""

from ipaddress import IPv4Interface
from pathlib import Path
from typing import ClassVar

import pytest

from fleet import errors
from fleet.scores.kvm import promotion
from fleet.scores.kvm.accelerator import Choice
from fleet.scores.kvm.domains import Accelerator
from fleet.scores.kvm.firewall import FirewallVmHostScore
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.kvm.networks import Network
from fleet.scores.kvm.pools import HarmonyFleetPool
from fleet.scores.kvm.promotion import PromotionScore
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.machine import Answer
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.linux.users import MembershipScore
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


EMULATING = PromotionScore(URI, Emulating.connect)


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


def hypervisor(**answers: Answer) -> Told:
    """Tell of a machine whose libvirt answers, and that has no KVM."""
    told = {
        "uname -m": Answer(0, b"x86_64\n"),
        "uname -r": Answer(0, b"6.1.0\n"),
        "test -e /boot/vmlinuz-6.1.0": Answer(0),
        "test -c /dev/kvm": Answer(1),
    }
    return Told({**told, **answers})


class Watched(Emulating):
    """Keeps who was connected, and is told of who left."""

    made: ClassVar[list["Watched"]] = []
    closed = False

    @classmethod
    def connect(cls, uri: str, *, read_only: bool = False, patience: float = 1) -> "Watched":
        cls.made.append(super().connect(uri, read_only=read_only, patience=patience))
        return cls.made[-1]

    def close(self) -> None:
        self.closed = True
        super().close()


@pytest.fixture
def held():
    """Keep libvirt's test driver as it is from one connection to the next."""
    with LibvirtHypervisor.connect(URI) as hypervisor:
        yield hypervisor


def test_a_libvirt_that_answers_is_used_and_the_machine_not_asked_of_packages_or_units():
    host = hypervisor()
    with LinuxHostTopology(host).promote(EMULATING) as promoted:
        assert promoted.hypervisor.uri == URI
    assert {command.split()[0] for command in host.asked} == {"uname", "test"}


def test_promotion_tells_what_guests_run_by_and_why():
    with LinuxHostTopology(hypervisor()).promote(EMULATING) as promoted:
        assert promoted.accelerator == Choice(Accelerator.TCG, "emulated: hv has no /dev/kvm")


def test_a_machine_without_a_kernel_to_try_says_where_it_was_looked_for():
    nowhere = {"test -e": Answer(1), "test -e /boot/vmlinuz-6.1.0": Answer(1)}
    with LinuxHostTopology(hypervisor(**nowhere)).promote(EMULATING) as promoted:
        assert promoted.accelerator is not None
        assert "/boot/vmlinuz-6.1.0 or /lib/modules/6.1.0/vmlinuz" in promoted.accelerator.reason


def test_the_probe_leaves_no_machine_behind(held: LibvirtHypervisor):
    before = [domain.name for domain in held.domains()]
    with LinuxHostTopology(hypervisor()).promote(EMULATING):
        assert [domain.name for domain in held.domains()] == before


def test_every_connection_is_closed_but_the_one_that_is_returned():
    Watched.made.clear()
    promoted = LinuxHostTopology(hypervisor()).promote(PromotionScore(URI, Watched.connect))
    assert [each.closed for each in Watched.made[:-1]] == [True] * (len(Watched.made) - 1)
    assert promoted.hypervisor is Watched.made[-1]
    assert not Watched.made[-1].closed
    with promoted:
        pass
    assert Watched.made[-1].closed


def test_a_connection_is_closed_where_the_probe_fails():
    class Unable(Watched):
        def runs(self, arch: Arch, accelerator: Accelerator) -> bool:
            del arch, accelerator
            return False

    Watched.made.clear()
    with pytest.raises(errors.HostUnsupported):
        LinuxHostTopology(hypervisor()).promote(PromotionScore(URI, Unable.connect))
    assert all(each.closed for each in Watched.made)


def test_a_libvirt_that_emulates_nothing_is_refused_with_what_would_help():
    with pytest.raises(errors.HostUnsupported, match="install qemu-system"):
        LinuxHostTopology(hypervisor()).promote()


def test_nixos_is_refused_with_the_line_to_add():
    host = Told({"cat": Answer(0, b"ID=nixos\n"), "test": Answer(0), "stat": Answer(0)})
    with pytest.raises(errors.HostUnsupported, match=r"virtualisation\.libvirtd\.enable = true;"):
        LinuxHostTopology(host).promote(PromotionScore(connect=away))


def test_a_bare_machine_is_told_of_its_packages_before_units_are_looked_for():
    host = Told(
        {
            "cat": Answer(0, b"ID=debian\n"),
            "uname -m": Answer(0, b"x86_64\n"),
            "dpkg-query": Answer(1, b"qemu-utils installed\n", b"no packages found"),
        }
    )
    found = PromotionScore(connect=away).differences(LinuxHostTopology(host))
    assert "libvirt-daemon-system isn't installed" in found
    assert "qemu-utils isn't installed" not in found


@pytest.mark.parametrize(
    ("uri", "user"),
    [
        ("qemu+libssh://ops@hv:22/system?keyfile=/k", "ops"),
        ("qemu+ssh://root@hv/system?no_tty=1", ""),
        ("qemu+ssh://hv/system", ""),
        ("qemu+ssh://ops@hv/session", ""),
        ("test:///default", ""),
    ],
    ids=["a user", "root", "whom ssh's configuration names", "a session", "no QEMU"],
)
def test_who_logs_in_and_is_not_root_is_to_be_in_libvirts_group(uri: str, user: str):
    groups = [score for score in PromotionScore(uri)._scores(LinuxHostTopology(Told({})))
              if isinstance(score, MembershipScore)]  # fmt: skip
    assert groups == ([MembershipScore(user, ("libvirt",))] if user else [])


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
    assert EMULATING.differences(LinuxHostTopology(host)) == ()


def test_a_firewall_host_gets_pool_and_networks_once(held: LibvirtHypervisor):
    host = LinuxHostTopology(hypervisor())
    score = FirewallVmHostScore((NETWORK,), POOL, EMULATING)
    assert score.interpret(host).expect().change is Change.CHANGED
    assert held.find_network("wan") is not None
    assert held.find_pool(POOL.name) is not None
    assert score.interpret(host).expect().change is Change.UNCHANGED
