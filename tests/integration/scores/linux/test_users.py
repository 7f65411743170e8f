"""Users on a real Linux, with an /etc of its own; and what resumes after any moment."""

import dataclasses

import pytest

from fleet import errors
from fleet.scores.linux import lookup
from fleet.scores.linux.accounts import Account
from fleet.scores.linux.files import AbsentScore, DirectoryScore, FileScore, LinkScore
from fleet.scores.linux.machine import Machine, run
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.linux.users import (
    AuthorizedKeysScore,
    PasswordScore,
    SubordinateIds,
    SudoersScore,
    UserScore,
)
from fleet.scores.score import Change, interpret_all
from tests.integration.scores.device.sandbox import sandbox

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPs1HXvcoUJBVUSS8SbiBjvBZKVXWSpBnqEHTZDLdBrz me"
IDS = SubordinateIds(700_000_000)
USER = UserScore("worker", home="/home/worker", groups=("games", "tty"), subordinate_ids=IDS)
PASSWORD = PasswordScore("worker", "corréct horse")
SCORES = (
    USER,
    AuthorizedKeysScore("worker", (KEY,)),
    SudoersScore("worker", "worker ALL=(ALL) NOPASSWD: ALL\n"),
    PASSWORD,
    DirectoryScore("/etc/of-ours", 0o750, "root", "worker"),
    FileScore("/etc/of-ours/secret", b"hush\n", 0o640, "root", "worker"),
    LinkScore("/etc/of-ours/link", "secret"),
    AbsentScore("/etc/issue.net"),
)
PROGRAMS = 53  # that interpreting them runs; `test_every_moment_is_tried` counts
# What tells what came of them; of a password, whether it is the one.
LOOKED_AT = ("/etc/of-ours", "/etc/sudoers.d", "/home/worker", "/etc/passwd", "/etc/group",
             "/etc/subuid", "/etc/subgid", "/etc/issue.net")  # fmt: skip


class Killed(BaseException):
    """What ends us in the middle: nothing catches it."""


@dataclasses.dataclass
class Dying:
    """A machine's user who is killed instead of running one program more than *programs*."""

    machine: Machine
    programs: int
    name: str = "dying"

    def ask(self, *argv, stdin=b"", within=60.0):
        if not self.programs:
            raise Killed
        self.programs -= 1
        return self.machine.ask(*argv, stdin=stdin, within=within)


def _interpret(machine):
    return [outcome.expect() for outcome in interpret_all(SCORES, LinuxHostTopology(machine))]


def _all_of_it(machine):
    found = machine.ask("find", *LOOKED_AT, "-printf", r"%p %y %m %u %g %l\n").text
    read = machine.ask("grep", "-r", "", *LOOKED_AT).text
    return sorted(found.splitlines()), sorted(read.splitlines())


def _times(machine):
    return sorted(machine.ask("find", *LOOKED_AT, "-printf", r"%p %T@ %C@\n").text.splitlines())


@pytest.fixture
def topology(own_machine):
    return LinuxHostTopology(own_machine)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    with sandbox(tmp_path_factory.mktemp("uninterrupted")) as machine:
        _interpret(machine)
        yield machine


def test_every_moment_is_tried(uninterrupted, own_machine):
    counted = Dying(own_machine, 1000)
    _interpret(counted)
    assert 1000 - counted.programs == PROGRAMS


@pytest.mark.parametrize("programs", range(PROGRAMS))
def test_whoever_is_killed_after_any_program_resumes_and_ends_with_the_same(
    uninterrupted, own_machine, programs
):
    with pytest.raises(Killed):
        _interpret(Dying(own_machine, programs))
    _interpret(own_machine)
    assert _all_of_it(own_machine) == _all_of_it(uninterrupted)
    assert {outcome.change for outcome in _interpret(own_machine)} == {Change.UNCHANGED}


def test_a_second_run_changes_nothing_and_touches_no_time(own_machine):
    assert {outcome.change for outcome in _interpret(own_machine)} == {Change.CHANGED}
    before = _times(own_machine)
    assert {outcome.change for outcome in _interpret(own_machine)} == {Change.UNCHANGED}
    assert _times(own_machine) == before


def test_a_user_who_was_there_becomes_as_wanted_and_keeps_its_number(own_machine, topology):
    run(own_machine, "useradd", "--shell", "/bin/sh", "--home-dir", "/home/elsewhere", "worker")
    before = lookup.find(own_machine, "worker")
    USER.interpret(topology).expect()
    assert before is not None
    wanted = Account("worker", before.uid, before.gid, "/home/worker", "/bin/bash")
    assert lookup.find(own_machine, "worker") == wanted
    assert set(run(own_machine, "id", "-Gn", "worker").split()) == {"worker", "games", "tty"}


def test_groups_that_a_user_is_in_besides_are_left_alone(own_machine, topology):
    USER.interpret(topology).expect()
    run(own_machine, "usermod", "--append", "--groups", "audio", "worker")
    assert USER.interpret(topology).change is Change.UNCHANGED


def test_a_password_that_is_as_wanted_keeps_its_hash_of_whatever_scheme(own_machine, topology):
    USER.interpret(topology).expect()
    run(own_machine, "chpasswd", "--crypt-method=YESCRYPT", stdin="worker:corréct horse".encode())
    known = lookup.password_hash(own_machine, "worker")
    assert known is not None
    assert known.startswith("$y$")
    assert PASSWORD.interpret(topology).change is Change.UNCHANGED
    other = PasswordScore("worker", "another")
    assert other.interpret(topology).change is Change.CHANGED
    assert other.interpret(topology).change is Change.UNCHANGED
    assert lookup.password_hash(own_machine, "worker") != known


def test_without_a_password_none_logs_in(own_machine, topology):
    USER.interpret(topology).expect()
    PASSWORD.interpret(topology).expect()
    none = PasswordScore("worker", None)
    assert none.interpret(topology).change is Change.CHANGED
    assert none.interpret(topology).change is Change.UNCHANGED
    assert lookup.password_hash(own_machine, "worker") == "!"


def test_a_password_is_in_no_program_and_no_message(own_machine, topology):
    USER.interpret(topology).expect()
    outcome = PASSWORD.interpret(topology)
    assert "horse" not in repr((own_machine.asked, outcome, PASSWORD))


def test_rules_that_sudo_does_not_take_are_never_written(own_machine, topology):
    bad = SudoersScore("worker", "worker ALL=(ALL NOPASSWD: ALL\n")
    with pytest.raises(errors.InvalidConfig, match=r"doesn't take the rules of worker: .*error"):
        bad.interpret(topology).expect()
    assert not own_machine.ask("ls", "/etc/sudoers.d/worker").ok


@pytest.mark.parametrize("file", ["a.conf", "a~", "../a", "", "a/b"], ids=repr)
def test_a_file_that_sudo_would_pass_over_is_refused(topology, file):
    with pytest.raises(errors.InvalidConfig, match="not a name for a file of rules"):
        SudoersScore(file, "").interpret(topology).expect()


def test_numbers_that_others_have_are_never_given_twice(own_machine, topology):
    run(own_machine, "useradd", "other")
    run(own_machine, "usermod", "--add-subgids", "700000100-700000200", "other")
    with pytest.raises(errors.NotOurs, match=r"/etc/subgid gives some of .* to other .*choose"):
        USER.interpret(topology).expect()


@pytest.mark.parametrize("user", ["root", "-x", "Upper", "a b", "", "a:b", "a\nb"], ids=repr)
def test_what_is_no_user_of_ours_is_refused(topology, user):
    with pytest.raises(errors.InvalidConfig):
        UserScore(user, home="/home/x").interpret(topology).expect()


def test_root_by_another_name_is_never_touched(own_machine, topology):
    run(own_machine, "useradd", "--non-unique", "--uid", "0", "toor")
    with pytest.raises(errors.NotOurs, match="root by another name"):
        UserScore("toor", home="/home/toor").interpret(topology).expect()


def test_a_group_that_is_not_there_is_told(topology):
    with pytest.raises(errors.CommandFailed, match="group 'no-such' does not exist"):
        UserScore("worker", home="/home/worker", groups=("no-such",)).interpret(topology).expect()


def test_scores_of_a_user_who_is_not_there_yet_say_so_in_a_dry_run(topology):
    for score in (AuthorizedKeysScore("nobody-yet", (KEY,)), PasswordScore("nobody-yet", "x")):
        outcome = score.interpret(topology, dry_run=True)
        assert outcome.details == ("there is no user nobody-yet",)


@pytest.mark.parametrize("key", ["", "ssh-ed25519", f"{KEY}\n{KEY}", "-----BEGIN KEY"], ids=repr)
def test_what_is_no_public_key_is_refused_and_not_repeated(topology, key):
    with pytest.raises(errors.InvalidConfig, match="not a public key on one line"):
        AuthorizedKeysScore("worker", (key,)).interpret(topology).expect()


@pytest.mark.parametrize("password", ["", "two\nlines", "a\0b"], ids=repr)
def test_what_is_no_password_is_refused(topology, password):
    with pytest.raises(errors.InvalidConfig, match="is empty, or not one line"):
        PasswordScore("worker", password).interpret(topology).expect()
