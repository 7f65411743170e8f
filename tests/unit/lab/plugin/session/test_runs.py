"""The plugin in a run of one process: what a test gets, and what becomes of the lab."""

import pytest

from tests.their_repository import NAME, Theirs, plan

pytest_plugins = ("pytester",)

PASSES = "def test_it(device): pass"
FAILS = "def test_it(device): assert device.id == 'another'"


def test_a_run_that_asks_for_no_lab_touches_none_and_imports_nothing_of_it(theirs: Theirs):
    theirs.has(
        """
        import sys

        def test_it():
            heavy = {"lab.host.labs", "lab.plugin.session.shared_lab", "msgspec", "fleet"}
            assert not heavy & set(sys.modules)
        """
    )

    theirs.run_apart().assert_outcomes(passed=1)

    assert theirs.lab.calls == []
    assert not (theirs.pytester.path / "lab-logs").exists()


def test_a_test_is_given_a_device_that_answers(theirs: Theirs):
    theirs.has(
        """
        def test_it(device, lab, devices, cluster, nats):
            assert device.run("echo", device.id) == "d0\\n"
            assert device in devices and len(devices) == 2
            assert lab.name == "theirs" and lab.paths["logs"].is_dir()
            assert str(cluster.kubeconfig) == "/kubeconfig"
            assert nats.url == "nats://10.0.0.1:4222"
        """
    )

    theirs.run().assert_outcomes(passed=1)

    assert theirs.lab.calls == ["up", "down"]


def test_a_program_that_fails_on_a_device_says_what_it_said(theirs: Theirs):
    theirs.has("def test_it(device): device.run('sh', '-c', 'echo no such thing >&2; exit 3')")

    done = theirs.run()

    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines("*d0: `sh -c *` ended with 3: no such thing*")
    done.stdout.no_fnmatch_line("*devices.py*")


def test_whoever_waits_is_told_how_far_the_lab_is(theirs: Theirs):
    theirs.has(PASSES)

    done = theirs.run()

    done.stdout.fnmatch_lines(
        [
            f"lab {NAME} is being brought up: *lab.log",
            "  control-plane",
            f"lab {NAME} is being taken down",
            f"lab {NAME} is taken down",
        ]
    )
    done.stdout.no_fnmatch_line("*etcd*")


@pytest.mark.parametrize(
    ("tests", "options", "calls", "words"),
    [
        (PASSES, [], ["up", "down"], "is taken down"),
        (FAILS, [], ["up", "down"], "is taken down"),
        (PASSES, ["--lab-keep=on-failure"], ["up", "down"], "is taken down"),
        (FAILS, ["--lab-keep=on-failure"], ["up"], "stays up: --lab-keep=on-failure"),
        (PASSES, ["--lab-keep=always"], ["up"], "stays up: --lab-keep=always"),
        (FAILS, ["--lab-keep=always"], ["up"], "stays up: --lab-keep=always"),
    ],
)
def test_a_lab_is_kept_as_was_asked(
    theirs: Theirs, tests: str, options: list[str], calls: list[str], words: str
):
    theirs.has(tests)

    done = theirs.run(*options)

    left = ["to take it down: rm -r *"] if calls == ["up"] else []
    done.stdout.fnmatch_lines([f"lab {NAME} {words}", *left, "timeline: *"], consecutive=True)
    assert theirs.lab.calls == calls


def test_a_lab_that_was_up_is_used_and_stays_up(theirs: Theirs):
    plan(theirs, was_up_as="load")
    theirs.has(FAILS)

    done = theirs.run("--lab-keep=never")

    words = [f"lab {NAME} stays up, as it was", "to take it down: rm -r *"]
    done.stdout.fnmatch_lines(words, consecutive=True)
    assert theirs.lab.calls == ["up"]  # it was repaired
    assert not list(theirs.lab.state.glob("made-*"))  # nor does a later run think it its own


def test_a_lab_that_was_kept_is_one_that_was_up_for_the_next_run(theirs: Theirs):
    theirs.has(PASSES)
    theirs.run_apart("--lab-keep=always")

    done = theirs.run("--lab-keep=never")

    done.stdout.fnmatch_lines(f"lab {NAME} stays up, as it was")


def test_a_lab_of_another_topology_is_neither_used_nor_taken_down(theirs: Theirs):
    plan(theirs, was_up_as="load")
    theirs.has(PASSES)

    done = theirs.run("--lab-topology=smoke")

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines("*lab theirs has topology load, not smoke*")
    assert theirs.lab.calls == ["up"]


def test_a_broken_lab_fails_each_test_at_once_with_the_first_reason(theirs: Theirs):
    plan(theirs, up_fails="etcd ended with 1")
    theirs.has(
        """
        import pytest

        def test_one(device): pass
        def test_two(lab): pass
        @pytest.mark.needs("rootful")
        def test_three(device): pass
        def test_four(): pass
        """
    )

    done = theirs.run()

    done.assert_outcomes(passed=1, errors=3)
    told = ["lab theirs didn't come up: etcd ended with 1", "log: *lab.log", "hint: mend it"]
    done.stdout.fnmatch_lines(told * 3)
    assert theirs.lab.calls == ["up", "down"]


def test_a_host_that_cannot_carry_a_lab_skips_with_the_reason_and_ends_well(theirs: Theirs):
    plan(theirs, misfits=("network: no bridge (load it)",))
    theirs.has(PASSES + "\ndef test_other(): pass")

    done = theirs.run()

    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(
        "SKIPPED*can't carry a lab: *the host won't do*network: no bridge (load it)*"
    )
    assert done.ret == 0
    done.stdout.fnmatch_lines(f"lab {NAME} was never brought up: *the host won't do; network: *")
    done.stdout.no_fnmatch_line("*taken down*")


def test_a_lab_that_is_gone_leaves_no_mark_for_one_that_a_person_makes_later(theirs: Theirs):
    theirs.has(
        """
        def test_it(device, lab):
            (lab.paths["state"] / "lab.json").unlink()  # as `lab.down` by hand would
        """
    )

    theirs.run()

    assert not list(theirs.lab.state.glob("made-*"))


def test_a_lab_that_cannot_be_taken_down_fails_the_run(theirs: Theirs):
    plan(theirs, down_fails="link fleet0 remains")
    theirs.has(PASSES)

    done = theirs.run()

    done.stdout.fnmatch_lines(f"lab {NAME} could not be taken down: link fleet0 remains")
    assert done.ret == 1


@pytest.mark.parametrize(
    ("needs", "device"),
    [("'rootful'", "d0"), ("'rootless'", "d1"), ("'low-port', 'rootful'", "d0")],
)
def test_a_test_is_given_a_device_that_can_what_it_needs(theirs: Theirs, needs: str, device: str):
    theirs.has(
        f"""
        import pytest

        @pytest.mark.needs({needs})
        def test_it(device): assert device.id == {device!r}
        """
    )

    theirs.run().assert_outcomes(passed=1)


def test_what_no_device_can_is_skipped_with_what_there_is(theirs: Theirs):
    theirs.has(
        """
        import pytest

        @pytest.mark.needs("vm", "rootful")
        def test_it(device): pass
        """
    )

    done = theirs.run()

    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(
        "SKIPPED*no device of lab theirs is rootful, vm (topology smoke); "
        "there are d0 (low-port, rootful), d1 (rootless)"
    )


def test_a_test_without_a_device_is_skipped_for_its_needs_before_its_fixtures_are_made(
    theirs: Theirs,
):
    theirs.has(
        """
        import pytest

        @pytest.fixture
        def costly():
            raise AssertionError

        @pytest.mark.needs("pods")
        def test_it(costly, cluster): pass
        """
    )

    theirs.run().assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ("'rootfull'", ["needs: there is no capability 'rootfull'", "hint: there are rootful, *"]),
        ("'rootful', devices=2", ["needs: it takes capabilities, and no devices="]),
    ],
)
def test_a_need_that_there_is_not_fails_and_names_those_there_are(
    theirs: Theirs, needs: str, words: list[str]
):
    theirs.has(
        f"""
        import pytest

        @pytest.mark.needs({needs})
        def test_it(device): pass
        """
    )

    done = theirs.run()

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(words)
    done.stdout.no_fnmatch_line("During handling *")


def test_a_test_that_never_began_leaves_no_evidence(theirs: Theirs):
    theirs.has(
        """
        import pytest

        def test_one(device): pass

        @pytest.mark.needs("wings")
        def test_two(device): pass
        """
    )

    theirs.run().assert_outcomes(passed=1, errors=1)

    assert not (theirs.directory / "failures").exists()


def test_a_test_that_is_to_be_skipped_asks_nothing_of_the_lab(theirs: Theirs):
    plan(theirs, up_fails="etcd ended with 1")
    theirs.has(
        """
        import pytest

        @pytest.mark.needs("rootful")
        @pytest.mark.skip(reason="not today")
        def test_it(device): pass
        """
    )

    theirs.run().assert_outcomes(skipped=1)


def test_a_block_that_waits_for_the_tests_own_device_is_told_who_holds_it(theirs: Theirs):
    theirs.has(
        """
        import pytest
        from lab.errors import LabBusy

        @pytest.mark.needs("rootful")
        def test_it(device, lab):
            with pytest.raises(LabBusy, match="d0 is held by main .* for .*test_it"):
                with lab.lease("rootful", within=0):
                    raise AssertionError
            with lab.lease(within=0) as other:
                assert other.id == "d1"
            assert list(lab.leased) == ["d0"]
        """
    )

    theirs.run().assert_outcomes(passed=1)


def test_a_device_that_stays_busy_is_told_without_a_traceback(theirs: Theirs):
    theirs.has(
        """
        import pytest
        from lab.plugin import devices

        @pytest.fixture(autouse=True)
        def all_held(lab):
            with lab.lease("rootful", test="another test"):
                yield

        @pytest.mark.needs("rootful")
        def test_it(all_held, device): pass
        """
    )

    done = theirs.run("--lab-lease-within=0")

    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        [
            "*no device became free within 0 s: d0 is held by main * for another test*",
            "*hint: use fewer workers*",
        ]
    )
    done.stdout.no_fnmatch_line("*leasing.py*")


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan", "--fixtures", "--markers"])
def test_a_run_that_only_shows_brings_no_lab_up(theirs: Theirs, option: str):
    theirs.has("import pytest\n@pytest.mark.needs('rootful')\n" + PASSES)

    assert theirs.run(option).ret == 0

    assert theirs.lab.calls == []


def test_errors_in_collecting_bring_no_lab_up(theirs: Theirs):
    theirs.has(PASSES)
    theirs.pytester.makepyfile(test_broken="import nothing_of_that_name")

    theirs.run().assert_outcomes(errors=1)

    assert theirs.lab.calls == []


def test_a_run_that_stops_at_the_first_failure_takes_the_lab_down(theirs: Theirs):
    theirs.has(FAILS + "\ndef test_other(device): pass")

    theirs.run("--maxfail=1").assert_outcomes(failed=1)

    assert theirs.lab.calls == ["up", "down"]


@pytest.mark.parametrize(
    ("options", "calls"), [([], ["up", "down"]), (["--lab-keep=on-failure"], ["up"])]
)
def test_a_run_that_is_interrupted_counts_as_failed(
    theirs: Theirs, options: list[str], calls: list[str]
):
    theirs.has("def test_it(device): raise KeyboardInterrupt")

    done = theirs.run_apart(*options)

    assert done.ret == pytest.ExitCode.INTERRUPTED
    assert theirs.lab.calls == calls


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--lab-keep=sometimes"], "*--lab-keep*'sometimes'*never*on-failure*always*"),
    ],
)
def test_a_bad_option_is_a_usage_error(theirs: Theirs, options: list[str], words: str):
    theirs.has("def test_it(): pass")

    done = theirs.run(*options)

    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(words)


@pytest.mark.parametrize(
    ("variables", "options", "words"),
    [
        ({"LAB_KEEP": "sometimes"}, [], "LAB_KEEP=sometimes: there are never, on-failure, always*"),
        ({}, ["--lab-name=Mine"], "'Mine' is no name for a lab: a-z, *"),
        ({}, ["--lab-log-dir=/dev/null/logs"], "--lab-log-dir: */dev/null/logs*"),
    ],
)
def test_a_setting_that_makes_no_sense_fails_the_tests_of_the_lab_alone(
    theirs: Theirs, monkeypatch, variables: dict[str, str], options: list[str], words: str
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    theirs.has(PASSES + "\ndef test_other(): pass")

    done = theirs.run(*options)

    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(f"*didn't come up: {words}")
    for never in ("*INTERNALERROR*", "lab * could not be *", "lab * stays up*"):
        done.stdout.no_fnmatch_line(never)
    assert theirs.lab.calls == []


def test_a_bad_variable_does_not_matter_to_a_run_without_a_lab(theirs: Theirs, monkeypatch):
    monkeypatch.setenv("LAB_KEEP", "sometimes")
    theirs.has("def test_it(): pass")

    done = theirs.run()

    done.assert_outcomes(passed=1)
    assert done.ret == 0


def test_variables_are_read_where_no_option_is_given(theirs: Theirs, monkeypatch):
    monkeypatch.setenv("LAB_KEEP", "1")
    monkeypatch.setenv("LAB_TOPOLOGY", "some/where.yaml")
    theirs.has(PASSES)

    done = theirs.run()

    done.stdout.fnmatch_lines(f"lab {NAME} stays up: --lab-keep=always")
    assert theirs.lab.status()["topology"] == str(theirs.pytester.path / "some/where.yaml")
