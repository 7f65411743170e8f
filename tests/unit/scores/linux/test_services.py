"""Services are brought about on a systemd that refuses what systemd refuses."""

import pytest

from fleet import errors
from fleet.scores.linux.services import SystemdServiceScore, UnitFileScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.linux.users import LingerScore
from fleet.scores.score import Change
from tests.unit.scores.linux.machines import SystemdMachine, Unit

UNIT_FILE = UnitFileScore("/etc/systemd/system/a.service", b"[Service]\nExecStart=/bin/true\n")


@pytest.fixture
def machine(tmp_path):
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    return SystemdMachine(tmp_path, {"a.service": Unit()})


@pytest.fixture
def topology(machine):
    return LinuxHostTopology(machine)


def _changes(score, topology):
    return [score.interpret(topology).expect().change for _ in range(2)]


ONCE = [Change.CHANGED, Change.UNCHANGED]


def test_a_service_is_enabled_and_started_once(machine, topology):
    assert _changes(SystemdServiceScore("a.service"), topology) == ONCE
    assert machine.units["a.service"] == Unit("enabled", "active", starts=1)


def test_a_service_is_disabled_and_stopped_once(machine, topology):
    machine.units["a.service"] = Unit("enabled", "active")
    assert (
        _changes(SystemdServiceScore("a.service", enabled=False, running=False), topology) == ONCE
    )
    assert machine.units["a.service"] == Unit("disabled", "inactive")


def test_the_first_unit_that_exists_is_meant(machine, topology):
    score = SystemdServiceScore(("modular.socket", "a.service"))
    assert _changes(score, topology) == ONCE
    machine.units["modular.socket"] = Unit()
    assert _changes(score, topology) == ONCE
    assert machine.units["modular.socket"].active == "active"


@pytest.mark.parametrize("file", ["static", "indirect", "generated"])
def test_a_unit_that_cannot_be_enabled_need_not_be(machine, topology, file):
    machine.units["a.service"] = Unit(file, "active")
    assert SystemdServiceScore("a.service").interpret(topology).change is Change.UNCHANGED


@pytest.mark.parametrize("file", ["disabled", "enabled-runtime", "linked", "linked-runtime"])
def test_a_unit_that_nothing_starts_at_boot_is_enabled_once(machine, topology, file):
    machine.units["a.service"] = Unit(file, "active")
    assert _changes(SystemdServiceScore("a.service"), topology) == ONCE
    assert machine.units["a.service"].file == "enabled"


@pytest.mark.parametrize("file", ["linked", "linked-runtime", "static", "disabled"])
def test_a_unit_that_is_not_to_be_enabled_and_is_not_stays_known_to_systemd(
    machine, topology, file
):
    machine.units["a.service"] = Unit(file, "active")
    for score in (
        SystemdServiceScore("a.service", enabled=False),
        SystemdServiceScore("a.service", enabled=False, running=False),
    ):
        score.interpret(topology).expect()
    assert machine.units["a.service"] == Unit(file, "inactive")


def test_a_linked_unit_that_cannot_be_enabled_is_told(machine, topology):
    machine.units["a.service"] = Unit("linked", "active", has_install=False)
    with pytest.raises(errors.HostUnsupported, match=r"is linked, .*no \[Install\] section"):
        SystemdServiceScore("a.service").interpret(topology).expect()


def test_a_service_is_restarted_when_what_it_reads_has_changed_and_only_then(machine, topology):
    for digest in ("1", "1", "2", "2"):
        SystemdServiceScore("a.service", restarted_when=digest).interpret(topology).expect()
    assert machine.units["a.service"].starts == 2


def test_a_service_that_ran_before_with_who_knows_what_is_restarted(machine, topology):
    machine.units["a.service"] = Unit("enabled", "active")
    assert _changes(SystemdServiceScore("a.service", restarted_when="1"), topology) == ONCE
    assert machine.units["a.service"].starts == 1


def test_a_unit_that_systemd_does_not_know_is_told(topology):
    with pytest.raises(errors.HostUnsupported, match=r"no unit b\.service or c\.service; install"):
        SystemdServiceScore(("b.service", "c.service")).interpret(topology).expect()


def test_a_unit_that_somebody_masked_stays_masked(machine, topology):
    machine.units["a.service"] = Unit(load="masked")
    with pytest.raises(errors.NotOurs, match=r"somebody masked a\.service; `systemctl unmask"):
        SystemdServiceScore("a.service").interpret(topology).expect()


def test_a_unit_that_systemd_cannot_read_is_told(machine, topology):
    machine.units["a.service"] = Unit(load="bad-setting")
    with pytest.raises(errors.HostUnsupported, match=r"can't read a\.service \(bad-setting\)"):
        SystemdServiceScore("a.service").interpret(topology).expect()


def test_a_service_that_fails_is_told_with_its_last_words(machine, topology):
    machine.units["a.service"] = Unit(breaks=True)
    with pytest.raises(errors.CommandFailed, match=r"(?s)doesn't start: Job .*its last words"):
        SystemdServiceScore("a.service").interpret(topology).expect()


def test_a_machine_without_systemd_is_told(machine, topology):
    machine.is_booted = False
    with pytest.raises(errors.HostUnsupported, match="doesn't run systemd"):
        SystemdServiceScore("a.service").interpret(topology).expect()


def test_a_service_of_a_user_wants_the_user_to_linger_first(machine, topology):
    score = SystemdServiceScore("podman.socket", user="worker")
    dry = score.interpret(topology, dry_run=True)
    assert dry.details == ("fake: the systemd of worker doesn't run; let worker linger first",)
    with pytest.raises(errors.NotReady, match="let worker linger first"):
        score.interpret(topology).expect()
    machine.of_worker = {"podman.socket": Unit()}
    assert _changes(score, topology) == ONCE
    assert machine.of_worker["podman.socket"].active == "active"
    assert "podman.socket" not in machine.units


def test_a_service_of_a_user_who_is_not_there_is_told_in_a_dry_run(topology):
    outcome = SystemdServiceScore("a.service", user="no").interpret(topology, dry_run=True)
    assert outcome.details == ("there is no user no",)


def test_a_user_lingers_once_and_its_systemd_runs(machine, topology):
    machine.units["user@993.service"] = Unit("static")
    assert _changes(LingerScore("worker"), topology) == ONCE
    assert machine.units["user@993.service"].active == "active"


def test_a_user_who_lingers_but_whose_systemd_is_down_gets_it_back(machine, topology):
    machine.units["user@993.service"] = Unit("static")
    LingerScore("worker").interpret(topology).expect()
    machine.units["user@993.service"].active = "inactive"
    assert _changes(LingerScore("worker"), topology) == ONCE


def test_a_unit_file_is_written_and_read_by_systemd_once(machine, topology, tmp_path):
    assert _changes(UNIT_FILE, topology) == ONCE
    assert (tmp_path / "etc/systemd/system/a.service").read_bytes() == UNIT_FILE.content
    assert machine.asked.count(("systemctl", "daemon-reload")) == 1


def test_a_unit_file_that_was_written_but_not_read_is_read(machine, topology):
    UNIT_FILE.interpret(topology).expect()
    machine.units["a.service"].outdated = True  # we were killed before we told systemd
    assert _changes(UNIT_FILE, topology) == ONCE


def test_an_addition_to_a_unit_belongs_to_that_unit(machine, topology, tmp_path):
    addition = UnitFileScore("/etc/systemd/system/a.service.d/50-x.conf", b"[Service]\n")
    assert _changes(addition, topology) == ONCE
    machine.units["a.service"].outdated = True
    assert _changes(addition, topology) == ONCE
