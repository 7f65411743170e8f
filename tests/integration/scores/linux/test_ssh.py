"""What goes wrong over SSH, on a real sshd: each with words that say what to do."""

import dataclasses
import socket
import subprocess
import threading

import pytest

from fleet import errors
from fleet.scores.linux.machine import run
from fleet.scores.linux.ssh import SshMachine
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.linux.users import AuthorizedKeysScore, PasswordScore, SudoersScore, UserScore
from lab.system import ports
from tests.integration.scores.linux import sshd

USER = "technician"


def test_a_host_without_a_pin_is_not_talked_to(own_server):
    own_server.known_hosts.write_text("")
    with pytest.raises(errors.HostKeyChanged, match="has no key for") as raised:
        own_server.connect()
    # The message has the line to add, once it was compared.
    own_server.known_hosts.write_text(str(raised.value).rpartition("the line `")[2].rstrip("`"))
    with own_server.connect() as machine:
        assert machine.ask("true").ok


def test_a_host_with_another_key_is_not_talked_to(own_server, tmp_path):
    own_server.known_hosts.write_text(own_server.pin(sshd.make_key(tmp_path / "other")))
    with pytest.raises(errors.HostKeyChanged, match=r"pins SHA256:.*made anew, pin its new key"):
        own_server.connect()


def test_a_host_that_shows_another_key_later_is_not_talked_to_again(own_server, tmp_path):
    with own_server.connect() as machine:
        own_server.stop()
        own_server.host_key = sshd.make_key(tmp_path / "other")
        own_server.start()
        with pytest.raises(errors.HostKeyChanged):
            machine.ask("true")


def test_a_key_that_the_host_does_not_know_is_refused(server, tmp_path):
    with pytest.raises(errors.LoginRefused, match=r"it doesn't take the key .*authorized_keys"):
        server.connect(key=sshd.make_key(tmp_path / "id"))


def test_a_user_that_the_host_does_not_know_is_refused(server):
    with pytest.raises(errors.LoginRefused):
        server.connect("nobody-of-that-name")


def test_a_password_is_not_in_any_message(server):
    with pytest.raises(errors.LoginRefused, match="nor the password") as raised:
        server.connect("nobody-of-that-name", password="hush")
    assert "hush" not in str(raised.value)
    assert "hush" not in repr(server.connect(password="hush")._login)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_key_that_others_may_read_is_not_used(server, tmp_path, mode):
    key = sshd.make_key(tmp_path / "id")
    key.chmod(mode)
    with pytest.raises(errors.InvalidConfig, match="others may read it; close it with `chmod 600"):
        server.connect(key=key)


def test_a_key_that_is_none_or_locked_or_missing_is_told(server, tmp_path):
    damaged, locked = tmp_path / "damaged", tmp_path / "locked"
    damaged.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n")
    damaged.chmod(0o600)
    sshd.make_key(locked)
    subprocess.run(("ssh-keygen", "-q", "-p", "-N", "phrase", "-f", locked), check=True)
    for key, why in (
        (damaged, "no private key"),
        (locked, "a passphrase"),
        (tmp_path / "no", "No such"),
    ):
        with pytest.raises(errors.InvalidConfig, match=why):
            server.connect(key=key)


def test_a_file_of_pins_that_is_missing_or_damaged_is_told(own_server):
    own_server.known_hosts.unlink()
    with pytest.raises(errors.InvalidConfig, match="known_hosts can't be used: No such file"):
        own_server.connect()
    own_server.known_hosts.write_bytes(b"[127.0.0.1]:22 ssh-ed25519 \xff\xff\n")
    with pytest.raises(errors.InvalidConfig, match="known_hosts can't be used"):
        own_server.connect()


def test_a_host_where_nothing_listens_is_unreachable(server):
    nobody = dataclasses.replace(server.connect()._login, port=ports.free())
    with pytest.raises(errors.MachineUnreachable, match="Connection refused"):
        SshMachine(nobody).ask("true")


def test_a_host_that_says_nothing_is_given_up(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        login = dataclasses.replace(server.connect()._login, port=port, within=0.5)
        with pytest.raises(errors.MachineUnreachable):
            SshMachine(login).ask("true")


@pytest.mark.parametrize("address", ["a..b", "x" * 70, "no\0host"], ids=["dots", "long", "nul"])
def test_what_is_no_address_is_told(server, address):
    login = dataclasses.replace(server.connect()._login, address=address)
    with pytest.raises((errors.InvalidHost, errors.MachineUnreachable)):
        SshMachine(login).ask("true")


def test_a_connection_that_breaks_in_the_middle_is_told_and_opened_anew(own_server, tmp_path):
    """The program isn't run again by itself: nobody knows how far it came."""
    runs = tmp_path / "runs"
    with own_server.connect() as machine:
        cut = threading.Timer(0, lambda: (_appears(runs), own_server.stop(), own_server.start()))
        cut.start()
        with pytest.raises(errors.MachineUnreachable, match="broke while `sh` ran"):
            machine.ask("sh", "-c", "echo run >>$1; sleep 5", "sh", str(runs), within=10)
        cut.join()
        assert machine.ask("true").ok
    assert runs.read_text() == "run\n"


def _appears(path):
    while not path.exists():
        threading.Event().wait(0.01)


def test_a_host_that_was_away_between_two_programs_is_found_again(own_server):
    with own_server.connect() as machine:
        assert machine.ask("true").ok
        own_server.stop()
        own_server.start()
        assert machine.ask("true").ok


def test_a_closed_machine_opens_another_connection_when_asked(server):
    machine = server.connect()
    machine.close()
    machine.close()
    assert machine.ask("true").ok
    machine.close()


def test_programs_of_several_threads_share_one_connection(server):
    with server.connect() as machine:
        said: list[bytes] = []
        threads = [
            threading.Thread(target=lambda n=n: said.append(machine.ask("echo", str(n)).out))
            for n in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(said) == [f"{n}\n".encode() for n in range(5)]


@pytest.fixture
def technicians_server(own_machine, tmp_path):
    """A host where a user other than root may log in."""
    own = LinuxHostTopology(own_machine)
    UserScore(USER, home=f"/home/{USER}").interpret(own).expect()
    PasswordScore(USER, "irrelevant").interpret(own).expect()  # sshd turns locked accounts away
    run(own_machine, "mkdir", "-p", "/run/sshd")
    directory = tmp_path / "sshd"
    directory.mkdir()
    enter = ("nsenter", f"--mount=/proc/{own_machine.pid}/ns/mnt", "--")
    with sshd.running(directory, enter) as running:
        public = running.key.with_suffix(".pub").read_text()
        AuthorizedKeysScore(USER, (public.strip(),)).interpret(own).expect()
        yield running, own


def test_a_user_who_may_not_become_root_without_a_password_is_told_how(technicians_server):
    server, _ = technicians_server
    with server.connect(USER) as machine, pytest.raises(errors.LoginRefused, match="NOPASSWD"):
        machine.ask("true")


def test_a_user_who_may_become_root_does_and_keeps_every_promise(technicians_server):
    server, own = technicians_server
    SudoersScore(USER, f"{USER} ALL=(ALL) NOPASSWD: ALL\n").interpret(own).expect()
    with server.connect(USER) as machine:
        assert machine.ask("id", "-u").text == "0\n"
        assert machine.ask("printf", "%s", "a b\n'", "x").out == b"a b\n'x"
        assert machine.ask("cat", stdin=b"\0\xff" * 100_000).out == b"\0\xff" * 100_000
        assert machine.ask("sh", "-c", "kill -TERM $$").code == -15
        assert machine.ask("sh", "-c", "echo sudo: no >&2; exit 3").code == 3
        with pytest.raises(errors.CommandFailed, match="took over"):
            machine.ask("sleep", "9", within=0.2)
