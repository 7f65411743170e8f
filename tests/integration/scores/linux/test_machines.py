"""What both adapters promise of a machine, on the real thing."""

import os

import psutil
import pytest

from fleet import errors
from fleet.scores.linux.machine import run


@pytest.mark.parametrize(
    "argument",
    ["plain", "two words", "a\nb", "'", '"', "$HOME", "`id`", "*", "-n", "--", "", "ü", "a;b"],
    ids=repr,
)
def test_a_program_gets_its_arguments_as_they_are(machine, argument):
    assert machine.ask("printf", "%s|", argument, "end").out == f"{argument}|end|".encode()


def test_input_and_output_are_bytes_of_any_value_and_size(machine):
    everything = os.urandom(5_000_000)
    assert machine.ask("cat", stdin=everything).out == everything


def test_a_program_that_complains_at_length_is_heard_out(machine):
    answer = machine.ask("sh", "-c", "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero")
    assert (len(answer.out), len(answer.err)) == (5_000_000, 5_000_000)


def test_a_program_may_end_before_it_has_read_its_input(machine):
    assert machine.ask("true", stdin=b"x" * 5_000_000).ok


@pytest.mark.parametrize("code", [0, 1, 3, 124])
def test_a_program_answers_with_its_status(machine, code):
    assert machine.ask("sh", "-c", f"exit {code}").code == code


def test_a_program_that_a_signal_ended_answers_with_that(machine):
    assert machine.ask("sh", "-c", "kill -TERM $$").code == -15


def test_a_program_that_is_not_there_answers_127(machine):
    assert machine.ask("no-such-program").code == 127


def test_what_failed_is_told_in_its_own_words(machine):
    with pytest.raises(errors.CommandFailed, match=r"`ls /no/such` failed with 2: .*No such file"):
        run(machine, "ls", "/no/such")


def test_a_program_is_root_and_gets_a_clean_environment(machine):
    assert run(machine, "id", "-u") == "0\n"
    names = {line.partition("=")[0] for line in run(machine, "env").splitlines()}
    assert names == {"PATH", "HOME", "LC_ALL"}


@pytest.mark.parametrize("script", ["sleep 9", "trap '' TERM; sleep 9; sleep 9"])
def test_a_program_that_takes_too_long_is_ended_with_its_children(machine, script, tmp_path):
    mark = str(tmp_path / "mark")
    with pytest.raises(errors.CommandFailed, match=r"took over 0\.2 s, and was ended"):
        machine.ask("sh", "-c", f"{script}; : >$1", "sh", mark, within=0.2)
    assert [process for process in psutil.process_iter(["cmdline"]) if _names(process, mark)] == []


def test_an_argument_with_a_nul_is_refused(machine):
    with pytest.raises(errors.InvalidConfig, match="a NUL byte"):
        machine.ask("echo", "a\0b")


def test_a_command_without_a_program_is_refused(machine):
    with pytest.raises(errors.InvalidConfig, match="without a program"):
        machine.ask()


def _names(process, mark):
    return mark in (process.info["cmdline"] or ())
