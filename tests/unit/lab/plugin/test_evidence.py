"""What a failure leaves: in its report, in files, and never an error of its own."""

from pathlib import Path

import pytest

from lab.plugin import evidence
from lab.plugin.session import runs
from tests.fake_lab import SAID, SERIAL
from tests.their_repository import Theirs, plan

pytest_plugins = ("pytester",)

FAILS = "def test_it(device): assert device.id == 'another'"


def test_a_failure_shows_what_its_own_device_and_the_operator_last_said(theirs: Theirs):
    theirs.has(FAILS)

    done = theirs.run()

    done.stdout.fnmatch_lines(
        [
            "*lab: status*", "stage: ready",
            "*lab: fleet-agent status of d0*", "state of d0",
            "*lab: d0, agent-d0.log*", f"{SAID} (d0)",
            "*lab: operator*", "the operator said this",
            "*lab: files*", "*failures/test_theirs.py--test_it",
        ]
    )  # fmt: skip
    done.stdout.no_fnmatch_line("*d1*")


def test_a_failure_on_a_machine_shows_its_journal_and_its_serial_log(
    theirs: Theirs, tmp_path: Path
):
    serial = tmp_path / "serial.log"
    plan(theirs, devices=({"id": "v0", "backend": "vm", "rootless": True, "serial": str(serial)},))
    theirs.has(FAILS)

    done = theirs.run()

    done.stdout.fnmatch_lines(
        ["*lab: journal of v0*", "journal of v0", "*lab: serial of v0*", SERIAL]
    )
    kept = theirs.directory / "failures" / "test_theirs.py--test_it"
    assert SERIAL in (kept / "serial-of-v0.txt").read_text()
    assert SERIAL in theirs.page
    assert "journal of v0" in theirs.page


def test_a_test_that_passes_leaves_none(theirs: Theirs):
    theirs.has("def test_it(device): pass")

    theirs.run()

    assert not (theirs.directory / "failures").exists()


def test_evidence_that_is_not_to_be_had_says_why_beside_the_failure(theirs: Theirs):
    plan(theirs, ask_fails="the device is gone")
    theirs.has(FAILS)

    done = theirs.run()

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["*assert 'd0' == 'another'*", "not to be had: LabError: the device is gone"]
    )


def test_evidence_that_is_interrupted_by_a_timeout_does_not_end_the_run(theirs: Theirs):
    plan(theirs, times_out=True)
    theirs.has(FAILS + "\ndef test_other(): pass")

    done = theirs.run()

    done.assert_outcomes(failed=1, passed=1)
    done.stdout.fnmatch_lines("not to be had: Failed: Timeout*")


def test_evidence_that_cannot_be_written_does_not_end_the_run(theirs: Theirs):
    theirs.has(
        """
        def test_it(device, pytestconfig):
            from lab.plugin.session import runs
            (runs.of(pytestconfig).settings.directory / "failures").write_text("in the way")
            raise AssertionError("the true reason")

        def test_other(): pass
        """
    )

    done = theirs.run()

    done.assert_outcomes(failed=1, passed=1)
    done.stdout.fnmatch_lines(["*the true reason*", "not to be had: NotADirectoryError*"])


def test_at_most_so_many_failures_have_evidence(theirs: Theirs):
    most = runs._MOST_EVIDENCE
    theirs.has(
        f"""
        import pytest

        @pytest.mark.parametrize("n", range({most + 2}))
        def test_it(device, n): raise AssertionError
        """
    )

    done = theirs.run()

    done.assert_outcomes(failed=most + 2)
    assert len(list((theirs.directory / "failures").iterdir())) == most
    assert str(done.stdout).count("lab: no more evidence") == 2


def test_failures_that_read_alike_do_not_share_a_directory(theirs: Theirs):
    theirs.has(
        """
        import pytest

        @pytest.mark.parametrize("n", ["a/b", "a?b", "a b"])
        def test_it(device, n): raise AssertionError
        """
    )

    theirs.run().assert_outcomes(failed=3)

    assert sorted(path.name for path in (theirs.directory / "failures").iterdir()) == [
        f"test_theirs.py--test_it-a-b{ending}" for ending in ("", "-2", "-3")
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("tests/test_a.py::test_b[x/../y]", "tests-test_a.py--test_b-x-..-y"),
        ("../../etc/passwd", "etc-passwd"),
        ("…", "-"),
        ("x" * 400, "x" * 150),
    ],
)
def test_any_text_becomes_a_name_of_one_file(text: str, name: str):
    assert evidence.slug(text) == name
