"""A long command tells how far it is."""

import os
import sys
from pathlib import Path

import pytest

from lab.toolchain.progress import elapsed, follow


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-u", "-c", code)


def test_status_and_output_come_back():
    status, output = follow(
        python("import sys; print('out'); sys.exit('err')"), name="part", say=lambda _: None
    )
    assert status == 1
    assert output.split() == ["out", "err"]


def test_a_quick_command_says_nothing():
    said: list[str] = []
    follow(python(""), name="part", say=said.append)
    assert not said


def test_a_slow_command_tells_its_latest_step(tmp_path: Path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    said: list[str] = []

    def say(line: str) -> None:
        if not said and "compiling x" in line:  # a second opening would find no reader, and hang
            said.append(line)
            gate.write_text("go on")

    waits = f"print('compiling x'); open({str(gate)!r}).read()"
    follow(python(waits), name="part", say=say, every=0.01)
    (line,) = said
    assert line.startswith("part: ")
    assert line.endswith("now compiling x")


def test_only_the_end_of_a_long_output_is_kept():
    _, output = follow(python("print(*range(1000), sep='\\n')"), name="part", say=lambda _: None)
    assert output.startswith("800\n")
    assert output.endswith("999")


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 01 s")])
def test_durations_read_well(seconds: float, words: str):
    assert elapsed(seconds) == words
