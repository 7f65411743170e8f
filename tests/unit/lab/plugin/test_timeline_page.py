"""The page that a run leaves: what it says of the lab and of each test."""

import pytest

from tests.their_repository import Theirs, plan

pytest_plugins = ("pytester",)


def test_a_page_tells_of_the_lab_its_stages_and_each_test(theirs: Theirs):
    theirs.has(
        """
        import pytest

        def test_passes(device): pass
        def test_fails(device): assert device.id == "another"
        @pytest.mark.skip(reason="not today")
        def test_skipped(device): pass
        @pytest.mark.xfail
        def test_unexpected(): pass
        """
    )

    theirs.run()

    page = theirs.page
    assert "1 failed, 1 passed, 1 skipped, 1 xpassed" in page
    for words in ("lab.up", "lab.down", "control-plane", "etcd", "lab theirs is taken down"):
        assert f">{words}<" in page, words
    assert 'class="failed" href="#failure-1"' in page
    assert "not today" in page
    assert page.count('<section class="failure"') == 1


def test_a_run_whose_tests_pass_beyond_expectation_has_not_failed(theirs: Theirs):
    theirs.has("import pytest\n@pytest.mark.xfail\ndef test_it(device): pass")

    assert theirs.run().ret == 0

    assert 'class="verdict passed">1 xpassed<' in theirs.page


def test_a_lab_that_stays_up_shows_no_taking_down(theirs: Theirs):
    theirs.has("def test_it(device): pass")

    theirs.run("--lab-keep=always")

    assert "lab.down" not in theirs.page


def test_a_lab_that_did_not_come_up_is_told_with_the_end_of_its_log(theirs: Theirs):
    plan(theirs, up_fails="etcd ended with 1")
    theirs.has("def test_it(device): pass")

    theirs.run()

    assert "the lab didn&#x27;t come up" in theirs.page
    assert "<dt>the lab</dt><dd>didn&#x27;t come up, after" in theirs.page
    assert "failed: etcd ended with 1" in theirs.page  # the log's own words
    assert 'id="failure-1"><h2>lab.up</h2>' in theirs.page
    assert 'id="failure-2"><h2>test_theirs.py::test_it</h2>' in theirs.page
    assert theirs.page.count('class="failed" href="#failure-1"') == 1
    assert theirs.page.count('class="failed" href="#failure-2"') == 1


def test_what_no_encoding_has_is_no_reason_to_have_no_page(theirs: Theirs):
    theirs.has(
        r"""
        def test_it(device):
            print("half a character: \udcff")
            raise AssertionError("<b>\udcff</b> & more")
        """
    )

    done = theirs.run("--tb=no", "--no-summary")

    assert done.ret == pytest.ExitCode.TESTS_FAILED
    assert "&lt;b&gt;" in theirs.page


def test_a_page_that_cannot_be_written_does_not_hide_what_became_of_the_lab(theirs: Theirs):
    theirs.has(
        """
        def test_it(device, pytestconfig):
            from lab.plugin.session import runs
            (runs.of(pytestconfig).settings.directory / "timeline.html").mkdir()
        """
    )

    done = theirs.run()

    done.stdout.fnmatch_lines(["lab theirs is taken down", "timeline: not to be had: *"])
    assert done.ret == 0
