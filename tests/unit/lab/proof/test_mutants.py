"""Mutants: what is mutated exists, a sample is the same for its seed, what is known is left out."""

import io
import tomllib
from pathlib import Path

import pytest
from rich.console import Console

from lab.proof import mutants
from lab.proof.equivalent_mutants import EQUIVALENT
from lab.proof.mutants import Module, Mutant, Outcome

ROOT = Path(__file__).parents[4]
TOKENS = Module("operator/decisions/token_bucket")
DIFF = """\
# fleet.operator.x: survived
--- src/fleet/operator/x.py
+++ src/fleet/operator/x.py
@@ -1,2 +1,2 @@
 def refill(self):
-    return 1
+    return 2
"""


def outcome(*survivors: Mutant, module: str = "operator/x", **statuses: int) -> Outcome:
    return Outcome(module, "abc", 50, statuses, survivors)


@pytest.mark.parametrize("module", mutants.modules(), ids=lambda module: module.name)
def test_what_is_mutated_is_there_with_its_tests(module: Module):
    assert (ROOT / module.source).is_file()
    assert module.tests
    for path in module.tests:
        assert (ROOT / path).is_file()


def test_what_is_explained_is_mutated_and_has_a_reason():
    assert {module for module, _, _ in EQUIVALENT} <= {each.name for each in mutants.modules()}
    assert all(EQUIVALENT.values())


def test_modules_are_chosen_by_name_by_path_and_by_room():
    assert mutants.choose(["operator/decisions/token_bucket"]) == (TOKENS,)
    assert mutants.choose(["src/fleet/operator/decisions/token_bucket.py"]) == (TOKENS,)
    assert TOKENS in mutants.choose(["operator/decisions"])
    assert mutants.choose([]) == mutants.modules()
    with pytest.raises(ValueError, match="operator/decision is not mutated; there are"):
        mutants.choose(["operator/decision"])


def test_a_sample_is_the_same_for_its_seed_and_all_where_none_is_asked_for():
    names = [f"m{number}" for number in range(100)]
    first = mutants.sample(names, 10, seed=1)
    assert first == mutants.sample(reversed(names), 10, seed=1)
    assert len(set(first)) == 10
    assert first != mutants.sample(names, 10, seed=2)
    assert len(mutants.sample(names, 0, seed=1)) == len(mutants.sample(names, 200, seed=1)) == 100


def test_mutmut_is_told_to_mutate_one_module_and_to_run_its_tests():
    found = tomllib.loads(mutants.configuration(TOKENS))["tool"]["mutmut"]
    assert found["only_mutate"] == [TOKENS.source]
    assert found["pytest_add_cli_args_test_selection"] == list(TOKENS.tests)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("fleet.operator.x.x_refill__mutmut_12", "refill"),
        ("fleet.operator.x.x__refill__mutmut_3", "_refill"),
        ("fleet.operator.x.xǁBucketǁ_refill__mutmut_3", "Bucket._refill"),
        ("fleet.operator.x.xǁBucketǁ__init____mutmut_8", "Bucket.__init__"),
    ],
)
def test_a_survivor_is_named_by_its_function_and_by_what_stood_there(name: str, function: str):
    assert mutants.mutant(name, DIFF) == Mutant(function, "return 2")


def test_a_score_counts_what_was_noticed_and_leaves_out_what_is_explained(
    monkeypatch: pytest.MonkeyPatch,
):
    found = outcome(
        Mutant("f", "return 2"), Mutant("f", "return 3"), killed=7, timeout=1, survived=2
    )
    assert (found.score, len(found.missed)) == (0.8, 2)
    monkeypatch.setattr(mutants, "EQUIVALENT", {("operator/x", "f", "return 3"): "same"})
    assert found.missed == (Mutant("f", "return 2"),)
    assert found.score == pytest.approx(8 / 9)
    assert mutants.record([found])["operator/x"] == {
        "commit": "abc",
        "mutants": 50,
        "tried": 10,
        "killed": 7,
        "timeouts": 1,
        "survived": 2,
        "missed": 1,
        "score": 0.889,
    }


def test_what_was_measured_is_read_as_it_was_written():
    found = outcome(Mutant("f", "return 2", DIFF), killed=7, survived=1)
    again = Outcome.from_json(found.to_json())
    assert again == found
    assert again.survivors[0].diff == DIFF


def test_the_table_has_a_row_for_each_module_and_a_sum():
    console = Console(width=120, file=(shown := io.StringIO()))
    two = [outcome(killed=3), outcome(Mutant("f", "x"), module="operator/y", survived=1)]
    console.print(mutants.table(two))
    lines = [line.split() for line in shown.getvalue().splitlines() if line.strip()]
    assert [line[-1] for line in lines if line[0] != "module"] == ["100.0%", "0.0%", "75.0%"]
