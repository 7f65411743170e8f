"""Agents put onto a machine with its real programs: whole versions, one link, and a way back."""

import pytest
from msgspec import structs

from fleet import errors
from fleet.scores.device import installing, rendering
from fleet.scores.device.bundle import CURRENT, LAUNCHER
from fleet.scores.device.installing import AgentInstalledScore
from fleet.scores.device.upgrading import AgentUpgradeScore
from fleet.scores.linux import files
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.files import FileScore
from fleet.scores.linux.machine import Answer, run
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change

INSTALLING = 20  # programs that putting another version there takes


class Killed(BaseException):
    """We were ended."""


class Mortal:
    """A machine whose user is ended after *programs* programs."""

    def __init__(self, machine, programs):
        self.machine, self.left, self.name = machine, programs, machine.name

    def ask(self, *argv, stdin=b"", within=60.0):
        if not self.left:
            raise Killed
        self.left -= 1
        return self.machine.ask(*argv, stdin=stdin, within=within)


def installed(machine, bundle):
    return AgentInstalledScore(bundle).interpret(LinuxHostTopology(machine))


def versions(machine):
    return sorted(run(machine, "ls", "-A", "/opt/fleet-agent").split())


def test_the_agent_that_was_installed_tells_its_version(machine, bundle):
    installed(machine, bundle).expect()
    topology = LinuxHostTopology(machine)
    launcher = rendering.launcher().encode()
    FileScore(str(LAUNCHER), launcher, 0o755).interpret(topology).expect()
    assert run(machine, str(LAUNCHER), "--version") == f"fleet-agent {bundle.version}\n"


def test_an_agent_that_is_installed_is_left_alone(machine, bundle):
    assert installed(machine, bundle).change is Change.CHANGED
    before = run(machine, "find", "/opt/fleet-agent", "-printf", "%p %T@ %l\n")
    assert installed(machine, bundle).change is Change.UNCHANGED
    assert run(machine, "find", "/opt/fleet-agent", "-printf", "%p %T@ %l\n") == before


def test_the_version_before_stays_and_is_known(machine, bundle, next_bundle):
    installed(machine, bundle).expect()
    installed(machine, next_bundle).expect()
    assert installing.current(machine) == str(next_bundle.folder)
    assert installing.previous(machine) == str(bundle.folder)
    assert bundle.version in versions(machine)


def test_the_programs_below_are_all_of_them(machine, bundle, next_bundle):
    installed(machine, bundle).expect()
    machine.asked.clear()
    installed(machine, next_bundle).expect()
    assert len(machine.asked) == INSTALLING


@pytest.mark.parametrize("programs", range(INSTALLING))
def test_one_who_is_ended_after_any_program_leaves_a_whole_version_or_none(
    machine, bundle, next_bundle, programs
):
    installed(machine, bundle).expect()
    with pytest.raises(Killed):
        installed(Mortal(machine, programs), next_bundle)
    folder = installing.current(machine)
    assert folder in {str(bundle.folder), str(next_bundle.folder)}
    run(machine, "test", "-e", f"{folder}/fleet/agent/main.py")
    installed(machine, next_bundle).expect()
    assert installing.current(machine) == str(next_bundle.folder)
    assert installing.previous(machine) == str(bundle.folder)
    assert versions(machine) == sorted(["current", "previous", bundle.version, next_bundle.version])


def test_a_damaged_archive_is_refused_and_leaves_nothing(machine, bundle, tmp_path):
    path = tmp_path / "damaged.tar.gz"
    path.write_bytes(bundle.path.read_bytes()[:-100])
    outcome = installed(machine, structs.replace(bundle, path=path))
    assert outcome.change is Change.FAILED
    assert isinstance(outcome.error, errors.InvalidConfig)
    assert "is damaged" in str(outcome.error)
    assert files.look(machine, str(bundle.folder))[str(bundle.folder)] is None


@pytest.mark.parametrize(
    "changes", [{"arch": Arch.AARCH64}, {"python": "3.13"}], ids=["processor", "python"]
)
def test_a_bundle_for_another_machine_is_refused_by_name(machine, bundle, changes):
    error = installed(machine, structs.replace(bundle, **changes)).error
    assert isinstance(error, errors.HostUnsupported)
    assert "bundle the agent for that" in str(error)


def test_a_bundle_without_byte_code_is_compiled_on_the_machine(machine, bundle):
    installed(machine, structs.replace(bundle, compiled=False)).expect()
    run(machine, "test", "-d", f"{bundle.folder}/fleet/agent/__pycache__")


@pytest.fixture
def restarts(machine):
    """What systemd was told; there is none here."""
    told = []

    def systemctl(argv):
        told.append((*argv[1:], installing.current(machine)))
        return Answer(0)

    machine.stand_ins["systemctl"] = systemctl
    return told


def test_an_upgrade_that_reports_in_is_kept_and_older_ones_go(
    machine, bundle, next_bundle, restarts
):
    run(machine, "mkdir", "-p", "/opt/fleet-agent/0.0.1", "/opt/fleet-agent/.0.0.2.partial")
    installed(machine, bundle).expect()
    score = AgentUpgradeScore(next_bundle, missing=lambda: "" if restarts else "nothing heard")
    assert score.interpret(LinuxHostTopology(machine)).expect().change is Change.CHANGED
    assert restarts == [("restart", "--", "fleet-agent.service", str(next_bundle.folder))]
    assert versions(machine) == sorted(["current", "previous", bundle.version, next_bundle.version])
    assert score.interpret(LinuxHostTopology(machine)).change is Change.UNCHANGED


def test_an_upgrade_that_nothing_is_heard_from_is_taken_back(
    machine, bundle, next_bundle, restarts
):
    installed(machine, bundle).expect()
    score = AgentUpgradeScore(next_bundle, missing=lambda: "no heartbeat", within=0)
    error = score.interpret(LinuxHostTopology(machine)).error
    assert isinstance(error, errors.NotReady)
    assert f"no heartbeat; went back to {bundle.folder}" in str(error)
    assert installing.current(machine) == str(bundle.folder)
    assert [folder for *_, folder in restarts] == [str(next_bundle.folder), str(bundle.folder)]


def test_an_upgrade_that_does_not_even_start_is_taken_back(machine, bundle, next_bundle):
    def systemctl(argv):
        starts = installing.current(machine) == str(bundle.folder)
        return Answer(0) if starts else Answer(1, b"", b"Job for fleet-agent.service failed")

    machine.stand_ins["systemctl"] = systemctl
    installed(machine, bundle).expect()
    score = AgentUpgradeScore(next_bundle, missing=lambda: "", within=0)
    error = score.interpret(LinuxHostTopology(machine)).error
    assert isinstance(error, errors.NotReady)
    assert "fleet-agent.service failed" in str(error)
    assert installing.current(machine) == str(bundle.folder)


def test_whoever_was_ended_before_hearing_from_an_upgrade_can_still_go_back(
    machine, bundle, next_bundle, restarts
):
    installed(machine, bundle).expect()
    installed(machine, next_bundle).expect()
    score = AgentUpgradeScore(next_bundle, missing=lambda: "no heartbeat", within=0)
    score.interpret(LinuxHostTopology(machine))
    assert installing.current(machine) == str(bundle.folder)


def test_an_upgrade_back_to_what_was_gone_back_to_has_nowhere_else_to_go(
    machine, bundle, next_bundle, restarts
):
    """The link to the version before names itself by then: to start it once more helps nobody."""
    installed(machine, bundle).expect()
    topology = LinuxHostTopology(machine)
    AgentUpgradeScore(next_bundle, missing=lambda: "silent", within=0).interpret(topology)
    restarts.clear()
    error = AgentUpgradeScore(bundle, missing=lambda: "silent", within=0).interpret(topology).error
    assert "no version before it" in str(error)
    assert [folder for *_, folder in restarts] == [str(bundle.folder)]


def test_a_first_version_has_nowhere_to_go_back_to(machine, bundle, restarts):
    score = AgentUpgradeScore(bundle, missing=lambda: "no heartbeat", within=0)
    error = score.interpret(LinuxHostTopology(machine)).error
    assert "no version before it" in str(error)
    assert files.look(machine, str(CURRENT))[str(CURRENT)] is not None
