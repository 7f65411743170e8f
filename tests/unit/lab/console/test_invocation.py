"""How the lab's commands end, whatever becomes of them and of who reads them."""

import os
import subprocess
import sys

import pytest
from invoke.exceptions import Exit

from lab.console.invocation import told_errors
from lab.host import labs

ENDLESS = """
import sys
from invoke.exceptions import Exit
from lab.console.invocation import told_errors

try:
    with told_errors():
        while True:
            print("a line")
except Exit as exc:
    sys.exit(exc.code)
"""


def test_a_reader_that_has_enough_ends_the_command_without_a_word():
    reader, writer = os.pipe()
    os.close(reader)

    done = subprocess.run(
        [sys.executable, "-c", ENDLESS], stdout=writer, stderr=subprocess.PIPE, check=False
    )

    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("value", ["data", "/dev/null"])
def test_a_data_directory_that_makes_no_sense_ends_a_task_with_words_and_status_2(
    value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("HARMONY_DATA_DIR", value)
    with pytest.raises(Exit) as caught, told_errors():
        labs.find("default")
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("failed: ")


def test_a_pipe_of_something_else_that_breaks_is_told():
    with pytest.raises(BrokenPipeError), told_errors():
        raise BrokenPipeError
