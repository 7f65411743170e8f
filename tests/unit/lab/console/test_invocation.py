"""How the lab's commands end, whatever becomes of them and of who reads them."""

import os
import subprocess
import sys

import pytest

from lab.console.invocation import told_errors

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


def test_a_pipe_of_something_else_that_breaks_is_told():
    with pytest.raises(BrokenPipeError), told_errors():
        raise BrokenPipeError
