"""Packages by apt's rules: its lock, its lists, its interruptions."""

import pytest

from fleet import errors
from fleet.scores.linux.families import Purpose
from fleet.scores.linux.packages import PackageScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change
from tests.unit.scores.linux.machines import Apt, PackagedMachine

DEBIAN = "ID=debian\n"


def _topology(manager, release=DEBIAN, arch="x86_64"):
    return LinuxHostTopology(PackagedMachine(release, manager, arch))


def test_only_what_is_missing_is_installed_and_only_once():
    apt = Apt(known={"a", "b"}, installed={"a"})
    topology = _topology(apt)
    outcome = PackageScore(("a", "b")).interpret(topology).expect()
    assert outcome.details == ("b isn't installed",)
    assert apt.installed == {"a", "b"}
    assert PackageScore(("a", "b")).interpret(topology).change is Change.UNCHANGED
    installs = [argv for argv in topology.machine.asked if "install" in argv]
    assert [argv[-1:] for argv in installs] == [("b",)]


def test_the_lists_are_fetched_only_when_a_package_is_not_in_them():
    apt = Apt(known={"a"}, known_after_update={"b"})
    topology = _topology(apt)
    PackageScore(("a",)).interpret(topology).expect()
    assert ("apt-get", "--quiet", "update") not in topology.machine.asked
    PackageScore(("b",)).interpret(topology).expect()
    assert apt.installed == {"a", "b"}


def test_a_package_that_is_not_to_be_had_is_told():
    with pytest.raises(
        errors.HostUnsupported, match="Unable to locate package nope; is the source"
    ):
        PackageScore(("nope",)).interpret(_topology(Apt(known=set()))).expect()


def test_whoever_holds_the_lock_is_waited_for():
    apt = Apt(known={"a"}, locked_times=1)
    PackageScore(("a",)).interpret(_topology(apt)).expect()
    assert apt.installed == {"a"}


def test_whoever_holds_the_lock_for_too_long_is_named():
    apt = Apt(known={"a"}, locked_times=1000)
    with pytest.raises(errors.NotReady, match=r"held by process 4711 \(unattended-upgr\)"):
        PackageScore(("a",), patience=0).interpret(_topology(apt)).expect()


def test_an_installation_that_the_power_cut_off_is_completed():
    apt = Apt(known={"a"}, interrupted=True)
    PackageScore(("a",)).interpret(_topology(apt)).expect()
    assert apt.installed == {"a"}


@pytest.mark.parametrize(
    ("arch", "emulator"), [("x86_64", "qemu-system-x86"), ("aarch64", "qemu-system-arm")]
)
def test_a_purpose_takes_what_the_machine_s_family_and_processor_want(arch, emulator):
    outcome = PackageScore(purpose=Purpose.HYPERVISOR).interpret(
        _topology(Apt(known=set()), arch=arch), dry_run=True
    )
    assert f"{emulator} isn't installed" in outcome.details


def test_a_processor_that_nobody_knows_is_told():
    score = PackageScore(purpose=Purpose.HYPERVISOR)
    with pytest.raises(errors.HostUnsupported, match="is riscv64; we know x86_64 and aarch64"):
        score.interpret(_topology(Apt(known=set()), arch="riscv64")).expect()


def test_nixos_is_refused_with_the_line_to_add():
    for score in (PackageScore(("htop",)), PackageScore(purpose=Purpose.HYPERVISOR)):
        outcome = score.interpret(_topology(Apt(known=set()), "ID=nixos\n"))
        with pytest.raises(errors.HostUnsupported, match="add this line to its configuration"):
            outcome.expect()


@pytest.mark.parametrize("name", ["-oX=y", "a b", "", "a;b", "../a", "a\n"], ids=repr)
def test_what_is_no_name_of_a_package_is_refused(name):
    with pytest.raises(errors.InvalidConfig, match="is not the name of a package"):
        PackageScore((name,)).interpret(_topology(Apt(known=set()))).expect()
