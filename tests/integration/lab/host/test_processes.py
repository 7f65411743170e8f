"""`lab.host.processes`: processes outlive a command, and are found again by our record alone."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.scores.score import Change
from lab.errors import PartDied, PreflightFailed, WaitTimedOut
from lab.host import processes
from lab.host.lab_host import LabHost
from lab.host.ledger import Kind
from lab.host.processes import ProcessScore
from lab.system import procfs, waiting
from lab.system.probes import anything, tcp

_LISTENER = (
    "import socket,sys,time;s=socket.create_server(('127.0.0.1',int(sys.argv[1])));time.sleep(600)"
)


_HEADLESS = (
    "import ctypes,sys,threading;"
    "threading.Thread(target=sys.stdin.read).start();"
    "print('begins',flush=True);ctypes.CDLL(None).pthread_exit(None)"
)


def sleeper(**changes) -> ProcessScore:
    return ProcessScore(
        **{"part": "sleeper", "argv": ("sleep", "600"), "ready": anything, **changes}
    )


def pid(host: LabHost, part: str = "sleeper") -> int:
    found = processes.pid_of(host.ledger, part)
    assert found is not None
    return found


def test_a_process_runs_on_its_own_session_and_a_second_time_nothing_changes(tmp_host: LabHost):
    assert sleeper().interpret(tmp_host).change is Change.CHANGED
    first = pid(tmp_host)

    assert sleeper().interpret(tmp_host).change is Change.UNCHANGED
    assert pid(tmp_host) == first
    assert os.getsid(first) == first


def test_a_killed_process_is_started_again(tmp_host: LabHost):
    sleeper().interpret(tmp_host).expect()
    first = pid(tmp_host)
    os.kill(first, signal.SIGKILL)
    waiting.wait_for("it is gone", lambda: "" if not procfs.identify(first) else "alive", within=5)

    assert sleeper().interpret(tmp_host).details == ("sleeper is not running",)
    assert pid(tmp_host) != first


def test_a_process_whose_first_thread_ended_lives_as_long_as_another_one():
    with subprocess.Popen(
        [sys.executable, "-c", _HEADLESS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdin
        process.stdout.readline()
        stat = Path(f"/proc/{process.pid}/stat")
        waiting.wait_for(
            "its first thread is gone", lambda: "" if ") Z " in stat.read_text() else "it isn't",
            within=5,
        )  # fmt: skip
        assert procfs.identify(process.pid)
        process.kill()
        waiting.wait_for(
            "it is gone", lambda: "alive" if procfs.identify(process.pid) else "", within=5
        )


@pytest.mark.parametrize(
    "change",
    [{"argv": ("sleep", "601")}, {"env": {"A": "b"}}, {"config_digest": "x"}, {"cwd": Path("/")}],
    ids=["argument", "variable", "file", "directory"],
)
def test_another_configuration_replaces_the_process(change, tmp_host: LabHost):
    sleeper().interpret(tmp_host).expect()
    first = pid(tmp_host)

    outcome = sleeper(**change).interpret(tmp_host)

    assert outcome.details == ("sleeper runs with another configuration",)
    assert procfs.identify(first) is None
    assert pid(tmp_host) != first


def test_a_child_whose_pid_was_never_written_down_is_found_by_its_nonce(tmp_host: LabHost):
    sleeper().interpret(tmp_host).expect()
    first = pid(tmp_host)
    _forget_the_pid(tmp_host)

    assert pid(tmp_host) == first
    sleeper().interpret(tmp_host).expect()
    assert pid(tmp_host) == first


def test_a_child_whose_pid_was_never_written_down_is_stopped(tmp_host: LabHost):
    sleeper().interpret(tmp_host).expect()
    first = pid(tmp_host)
    _forget_the_pid(tmp_host)
    (entry,) = tmp_host.ledger.of(Kind.PROCESS)

    processes.stop(entry)

    assert procfs.identify(first) is None


def test_another_process_under_the_same_pid_is_not_ours(tmp_host: LabHost):
    sleeper().interpret(tmp_host).expect()
    victim = pid(tmp_host)
    (entry,) = tmp_host.ledger.of(Kind.PROCESS)
    tmp_host.ledger.note(Kind.PROCESS, "sleeper", start=entry.facts["start"] - 1)

    (entry,) = tmp_host.ledger.of(Kind.PROCESS)
    processes.stop(entry)

    assert procfs.identify(victim) is not None
    tmp_host.ledger.note(Kind.PROCESS, "sleeper", start=entry.facts["start"] + 1)


def test_what_was_intended_and_never_made_is_undone_without_complaint(tmp_host: LabHost):
    tmp_host.ledger.intend(Kind.PROCESS, "ghost", nonce="0" * 24, digest="x", log_begins=0)
    (entry,) = tmp_host.ledger.of(Kind.PROCESS)

    processes.stop(entry)


def test_a_process_that_ignores_sigterm_is_killed(tmp_host: LabHost):
    deaf = "trap '' TERM; echo deaf; while :; do sleep 1; done"
    score = sleeper(argv=("sh", "-c", deaf), says="deaf")
    score.interpret(tmp_host).expect()
    who = procfs.identify(pid(tmp_host))
    assert who is not None

    processes.end(who, "it", patience=0.2)

    assert not procfs.is_alive(who)


def test_a_process_that_dies_while_starting_is_told_at_once_with_its_last_words(tmp_host: LabHost):
    score = sleeper(argv=("sh", "-c", "echo no such tune; exit 3"), ready=tcp("127.0.0.1", 1))

    error = score.interpret(tmp_host).error

    assert isinstance(error, PartDied)
    assert "no such tune" in str(error)
    assert error.log == tmp_host.log("sleeper")


def test_a_process_that_never_becomes_ready_says_what_was_last_seen(tmp_host: LabHost):
    score = sleeper(ready=tcp("127.0.0.1", 1), within=0.3)

    error = score.interpret(tmp_host).error

    assert isinstance(error, WaitTimedOut)
    assert "ConnectionRefusedError" in str(error)


def test_readiness_is_more_than_running(tmp_host: LabHost):
    port = tmp_host.port("listener")
    score = sleeper(argv=(sys.executable, "-c", _LISTENER, str(port)), ready=tcp("127.0.0.1", port))

    score.interpret(tmp_host).expect()

    with socket.create_connection(("127.0.0.1", port), timeout=5):
        pass


def test_a_process_that_must_say_something_is_not_ready_before(tmp_host: LabHost):
    silent = sleeper(says="hello", within=0.3).interpret(tmp_host)
    talking = sleeper(argv=("sh", "-c", "echo hello; exec sleep 600"), says="hello")

    assert isinstance(silent.error, WaitTimedOut)
    assert talking.interpret(tmp_host).change is Change.CHANGED
    assert talking.interpret(tmp_host).change is Change.UNCHANGED


def test_words_of_an_earlier_run_do_not_count(tmp_host: LabHost):
    sleeper(argv=("sh", "-c", "echo hello; exec sleep 600"), says="hello").interpret(
        tmp_host
    ).expect()

    again = sleeper(says="hello", within=0.3).interpret(tmp_host)

    assert isinstance(again.error, WaitTimedOut)


def test_a_missing_program_is_named(tmp_host: LabHost):
    error = sleeper(argv=("no-such-program",)).interpret(tmp_host).error

    assert isinstance(error, PreflightFailed)
    assert "no-such-program" in str(error)


def test_the_callers_settings_do_not_reach_the_process(
    tmp_host: LabHost, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KUBECONFIG", "/somebody/elses")
    sleeper(argv=("sh", "-c", "env; echo done; exec sleep 600"), says="done").interpret(
        tmp_host
    ).expect()

    assert "/somebody/elses" not in tmp_host.log("sleeper").read_text()


def _forget_the_pid(host: LabHost) -> None:
    """Cut the ledger back to the intention, as if `up` had been killed right after the spawn."""
    lines = host.ledger.path.read_text().splitlines(keepends=True)
    host.ledger.path.write_text("".join(line for line in lines if '"note"' not in line))
