"""Every suite can be chosen by name; what doesn't exist is named."""

from lab.proof import suites
from lab.proof.suites import Selection

KNOWN = (*suites.checks(), *suites.suites())


def test_names_are_distinct():
    assert len({suite.name for suite in KNOWN}) == len(KNOWN)


def test_nothing_chosen_means_everything():
    assert all(Selection().wants(suite) for suite in KNOWN)


def test_only_what_is_chosen_runs():
    chosen = [suite.name for suite in KNOWN if Selection(("e2e",)).wants(suite)]
    assert chosen == ["e2e"]


def test_an_unknown_suite_is_named():
    assert suites.unknown(Selection(("e2e", "nonsense")), KNOWN) == ("nonsense",)


def test_a_keyword_goes_to_pytest():
    assert all(suite.command[-2:] == ("-k", "name") for suite in suites.suites("name"))


def test_the_lab_is_used_by_one_test_at_a_time():
    on_a_lab = [
        suite for suite in suites.suites() if suite.name in {"e2e", "blackbox", "load", "vm"}
    ]
    assert [suite.command[2:4] for suite in on_a_lab] == [("-n", "0")] * 4


def test_the_full_proof_runs_the_suite_of_machines_on_each_topology_of_one():
    machines = [suite for suite in suites.full() if suite.lab]

    assert [suite.name for suite in machines] == list(suites.TOPOLOGIES)
    assert all(f"LAB_TOPOLOGY={suite.name}" in suite.command for suite in machines)
    assert all("not slow" not in suite.command for suite in machines)
    assert len({suite.report for suite in suites.full()}) == len(suites.full())


def test_beside_what_compares_the_host_runs_nothing_that_changes_it():
    first, second, third = planned()

    assert [[suite.name for suite in lane] for lane in first[1:]] == [["e2e"]]
    assert all(not suite.shows_output for suite in first[0])
    assert [[suite.name for suite in lane] for lane in second] == [["integration", "load"]]
    assert [[suite.name for suite in lane] for lane in third] == [["vm"], ["blackbox"]]


def test_all_that_there_is_has_its_turn():
    assert {suite.name for lanes in planned() for lane in lanes for suite in lane} == {
        suite.name for suite in KNOWN
    }


def test_a_chosen_suite_has_no_company():
    assert [[len(lane) for lane in lanes] for lanes in planned("vm")] == [[1]]


def test_machines_take_turns_in_the_full_proof():
    *_, beside = suites.rounds(suites.full())

    assert [[suite.name for suite in lane] for lane in beside] == [
        list(suites.TOPOLOGIES),
        ["blackbox", "fuzz"],
    ]


def planned(*only: str) -> tuple[tuple[suites.Lane, ...], ...]:
    return suites.rounds(suite for suite in KNOWN if Selection(only).wants(suite))
