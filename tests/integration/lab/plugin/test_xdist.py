"""The plugin under pytest-xdist: one lab for all workers, each device one worker's at a time."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from tests.their_repository import NAME, Theirs, plan
from tests.waiting import appears

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.timeout(90)

# Each test says when it has its device and when it lets go of it, in one file.
HOLDING = """
import os, time, pytest

@pytest.mark.parametrize("n", range(12))
def test_it(device, n):
    fd = os.open({book!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, f"take {{device.id}} {{os.getpid()}}\\n".encode())
    device.run("true")
    os.write(fd, f"drop {{device.id}} {{os.getpid()}}\\n".encode())
    os.close(fd)
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A file that the tests of the run write to."""
    return tmp_path / "book"


def test_two_workers_never_hold_one_device_and_use_one_lab(theirs: Theirs, book: Path):
    theirs.has(HOLDING.format(book=str(book)))

    done = theirs.run_apart("-n3")

    done.assert_outcomes(passed=12)
    done.stderr.fnmatch_lines(["lab theirs is being brought up: *lab.log", "  control-plane"])
    done.stdout.fnmatch_lines(["lab theirs is being taken down", "lab theirs is taken down"])
    assert str(done.stderr).count("lab.log") == 1
    holders: dict[str, str] = {}
    for line in book.read_text().splitlines():
        what, device, pid = line.split()
        if what == "take":
            assert device not in holders, line
            holders[device] = pid
        else:
            assert holders.pop(device) == pid
    assert theirs.lab.calls == ["up", "down"]
    assert theirs.lab.callers[0] != theirs.lab.callers[1]  # a worker, then the controller


def test_one_who_finds_no_device_free_is_told_which_worker_holds_it_for_which_test(
    theirs: Theirs, book: Path
):
    plan(theirs, devices=({"id": "only", "backend": "host"},))
    theirs.has(
        f"""
        from pathlib import Path
        from lab.system.waiting import wait_for
        from tests.waiting import appears

        DONE = Path({str(book)!r})

        def test_holds(device):
            appears(DONE, "another test is told")

        def test_waits(lab):
            from lab.errors import LabBusy
            from lab.plugin.session.leases import Holder
            def busy():
                try:
                    with lab.lease(within=0):
                        return "nobody holds it"
                except LabBusy as exc:
                    DONE.with_name("draft").write_text(str(exc))
                    return "" if "test_holds" in str(exc) else str(exc)
            wait_for("the other test holds it", busy, within=30)
            DONE.with_name("draft").replace(DONE)
        """
    )

    theirs.run_apart("-n2").assert_outcomes(passed=2)

    held = r"only is held by gw\d \(pid \d+\) for test_theirs.py::test_holds, \d+ s now"
    assert re.search(f"no device became free within 0 s: {held}", book.read_text())


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_lab_that_fails_to_come_up_is_tried_once(theirs: Theirs, workers: str):
    plan(theirs, up_fails="etcd ended with 1")
    theirs.has("def test_one(device): pass\ndef test_two(device): pass")

    done = theirs.run_apart(workers)

    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["lab theirs didn't come up: etcd ended with 1"] * 2)
    assert theirs.lab.calls == ["up", "down"]


def test_a_worker_that_crashes_frees_its_device_and_the_page_tells_of_it(theirs: Theirs):
    plan(theirs, devices=({"id": "only", "backend": "host"},))
    theirs.has(
        """
        import os
        def test_crashes(device): os._exit(1)
        def test_other(device): pass
        """
    )

    done = theirs.run_apart("-n1", "--max-worker-restart=2")

    done.assert_outcomes(passed=1, failed=1)
    assert theirs.lab.calls == ["up", "down"]
    assert "worker &#x27;gw0&#x27; crashed" in theirs.page
    assert "error on gw0" in theirs.page
    (took,) = re.findall(r"<dt>took</dt><dd>(.*?)</dd>", theirs.page)
    assert took.endswith(" s")
    assert "min" not in took
    ticks = re.findall(r'<span style="left:[^"]*">(\d+) min', theirs.page)
    assert ticks == []  # the axis begins with the run, not in 1970


def test_a_worker_that_dies_while_it_brings_the_lab_up_breaks_it_for_all(theirs: Theirs):
    plan(theirs, up_dies=True)
    theirs.has("def test_one(device): pass\ndef test_two(device): pass")

    done = theirs.run_apart("-n2", "--max-worker-restart=4")

    done.stdout.fnmatch_lines("*was bringing it up, and ended in the middle*")
    assert theirs.lab.calls == ["up", "down"]


def test_an_interrupted_run_takes_the_lab_down(theirs: Theirs, book: Path):
    theirs.has(
        f"""
        import signal
        from pathlib import Path

        def test_it(device):
            Path({str(book)!r}).touch()
            signal.pause()
        """
    )
    # Whoever runs us in the background may have had us ignore interrupts.
    command = ("env", "--default-signal=INT", *theirs.command("-n2"))
    with subprocess.Popen(
        command, cwd=theirs.pytester.path, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as run:  # fmt: skip
        appears(book, "the test runs")
        os.killpg(run.pid, signal.SIGINT)
        out, _ = run.communicate(timeout=60)

    assert f"lab {NAME} is taken down" in out
    assert theirs.lab.calls == ["up", "down"]


def test_a_lab_that_a_killed_run_left_is_taken_down_by_the_next(theirs: Theirs):
    theirs.has("import os\ndef test_it(device): os._exit(1)")
    theirs.run_apart()
    assert theirs.lab.calls == ["up"]
    theirs.has("def test_it(device): pass")

    theirs.run_apart().assert_outcomes(passed=1)

    assert theirs.lab.calls == ["up", "up", "down"]


def test_the_last_of_two_runs_takes_the_lab_down_unless_the_other_was_to_keep_it(
    theirs: Theirs, book: Path
):
    theirs.has(
        f"""
        from pathlib import Path
        from tests.waiting import appears

        def test_short(device): pass

        def test_long(device):
            Path({str(book)!r}).touch()
            appears(Path("over"), "the other run is over")
        """
    )
    for options, words in (
        ((), "stays up: another test run uses it"),
        (("--lab-keep=always",), "stays up: --lab-keep=always"),
    ):
        (theirs.pytester.path / "over").unlink(missing_ok=True)
        book.unlink(missing_ok=True)
        with subprocess.Popen(
            theirs.command("-k", "long"), cwd=theirs.pytester.path, stdout=subprocess.PIPE,
            text=True,
        ) as long:  # fmt: skip
            appears(book, "the long run is on")
            short = theirs.run_apart("-k", "short", *options)
            (theirs.pytester.path / "over").touch()
            out, _ = long.communicate(timeout=60)

        short.stdout.fnmatch_lines(f"lab {NAME} {words}")
        assert ("to take it down: " in str(short.stdout)) == bool(options)  # the other one's too
        kept = f"lab {NAME} stays up: another test run was asked to keep it"
        assert (kept if options else f"lab {NAME} is taken down") in out


def test_a_setting_that_makes_no_sense_is_told_by_the_tests_of_the_lab(theirs: Theirs, monkeypatch):
    monkeypatch.setenv("LAB_KEEP", "sometimes")
    theirs.has("def test_it(device): pass\ndef test_other(): pass")

    done = theirs.run_apart("-n1")

    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines("lab theirs didn't come up: LAB_KEEP=sometimes: there are *")
    assert theirs.lab.calls == []
