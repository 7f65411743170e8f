"""What a person is told while a lab comes up: where its log has got to, and not all of it."""

import threading
from pathlib import Path

from lab.plugin import progress

SAID = """\
another command holds the lab
control-plane
 ✓ control-plane: process etcd  etcd was never started (0.8 s)
operator
2 of 57 changed, in 9.1 s
lab news: ready
┏━━━━━━━━┓
Next:
"""


def test_parts_are_told_and_neither_what_is_in_them_nor_what_follows():
    assert list(progress.parts(SAID.splitlines())) == [
        "another command holds the lab",
        "control-plane",
        "operator",
        "2 of 57 changed, in 9.1 s",
    ]


def test_a_failure_is_left_to_the_tests_that_it_fails():
    assert list(progress.parts(["broker", "failed: no", "Traceback:"])) == ["broker"]


def test_all_that_was_said_is_told_once_by_the_end(tmp_path: Path):
    log, heard = tmp_path / "lab.log", threading.Event()
    told: list[str] = []

    def tell(line: str) -> None:
        told.append(line)
        heard.set()

    with progress.told(log, tell):
        log.write_text("network\nbro")
        assert heard.wait(8)
        log.write_text("network\nbroker\nreg")

    assert told == ["network", "broker"]


def test_a_log_that_never_comes_says_nothing(tmp_path: Path):
    told: list[str] = []

    with progress.told(tmp_path / "nowhere" / "lab.log", told.append):
        pass

    assert told == []
