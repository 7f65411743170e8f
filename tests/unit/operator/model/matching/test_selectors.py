"""Selection: the semantics of Kubernetes' selectors, but for the empty one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts import bounds
from fleet.operator.model.matching import selectors
from fleet.operator.model.matching.selectors import Operator, Requirement, Selector

LABELS = {"site": "a", "arch": "arm64"}
labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))
values = st.frozensets(st.sampled_from("xyz"), min_size=1)


@pytest.mark.parametrize(
    ("operator", "key", "given_values", "matches"),
    [
        ("In", "site", ["a", "b"], True),
        ("In", "site", ["b"], False),
        ("In", "missing", ["a"], False),
        ("NotIn", "site", ["b"], True),
        ("NotIn", "site", ["a"], False),
        ("NotIn", "missing", ["a"], True),
        ("Exists", "site", None, True),
        ("Exists", "missing", None, False),
        ("DoesNotExist", "site", None, False),
        ("DoesNotExist", "missing", None, True),
    ],
)
def test_each_operator_judges_as_in_kubernetes(
    operator: str, key: str, given_values: list[str] | None, matches: bool
):
    expression: dict[str, Any] = {"key": key, "operator": operator}
    if given_values is not None:
        expression["values"] = given_values
    assert selectors.parse({"matchExpressions": [expression]}).matches(LABELS) is matches


def test_all_requirements_must_hold():
    selector = selectors.parse(
        {
            "matchLabels": {"site": "a"},
            "matchExpressions": [{"key": "arch", "operator": "In", "values": ["x86_64"]}],
        }
    )
    assert not selector.matches(LABELS)
    assert selector.matches({"site": "a", "arch": "x86_64"})


@pytest.mark.parametrize("spec", [{}, {"matchLabels": {}}, {"matchExpressions": []}])
def test_an_empty_selector_matches_nothing(spec: dict[str, Any]):
    assert not selectors.parse(spec).matches(LABELS)
    assert not selectors.parse(spec).matches({})


@pytest.mark.parametrize(
    ("expression", "element", "why"),
    [
        ({"key": "a", "operator": "Near"}, "Near", "operator 'Near' is not known"),
        ({"key": "a"}, "None", "operator 'None' is not known"),
        ({"key": "a", "operator": "In"}, "a", "a: In needs values"),
        ({"key": "a", "operator": "NotIn", "values": []}, "a", "a: NotIn needs values"),
        ({"key": "a", "operator": "Exists", "values": ["x"]}, "a", "a: Exists takes no values"),
        ({"key": "a", "operator": "DoesNotExist", "values": ["x"]}, "a", "takes no values"),
    ],
)
def test_what_says_nothing_is_refused(expression: dict[str, Any], element: str, why: str):
    with pytest.raises(errors.InvalidSelector) as refusal:
        selectors.parse({"matchExpressions": [expression]})
    assert refusal.value.element == element
    assert why in str(refusal.value)


IMPOSSIBLE = ("si te", "", "-a", "a-", "a/", "/a", "a/b/c", "A.io/x", "x..io/a", "a\n")
TOO_LONG_OR_STRANGE = ("a" * 64, "d" * 254 + "/a", "si\x00te", "\N{CYRILLIC SMALL LETTER ES}ite")


@pytest.mark.parametrize("key", [*IMPOSSIBLE, *TOO_LONG_OR_STRANGE], ids=ascii)
@pytest.mark.parametrize("operator", list(Operator))
def test_a_key_that_no_device_can_have_is_refused(key: str, operator: Operator):
    """`DoesNotExist` and `NotIn` would select the whole fleet."""
    wants_values = operator in {Operator.IN, Operator.NOT_IN}
    expression = {"key": key, "operator": operator, "values": ["x"] if wants_values else []}
    with pytest.raises(errors.InvalidSelector) as refusal:
        selectors.parse({"matchExpressions": [expression]})
    assert str(refusal.value).isprintable()
    assert "is not a label key like site" in str(refusal.value)
    assert refusal.value.element == bounds.shown(key)
    with pytest.raises(errors.InvalidSelector):
        selectors.parse({"matchLabels": {key: "x"}})


@pytest.mark.parametrize("value", ["a b", "-", "a\n", "x" * 64])
def test_a_value_that_no_label_can_have_is_refused(value: str):
    with pytest.raises(errors.InvalidSelector, match=r"^site: .* is not a label value") as refusal:
        selectors.parse({"matchLabels": {"site": value}})
    assert refusal.value.element == "site"
    assert str(refusal.value).isprintable()
    with pytest.raises(errors.InvalidSelector, match="is not a label value"):
        selectors.parse(
            {"matchExpressions": [{"key": "site", "operator": "NotIn", "values": [value]}]}
        )


@pytest.mark.parametrize(
    "key", ["a", "a" * 63, "A_b.c", "x.io/a", "fleet.nationtech.io/x", "a.b-c/d"]
)
def test_any_label_of_kubernetes_can_be_selected(key: str):
    selector = selectors.parse({"matchLabels": {key: ""}})
    assert selector.matches({key: ""})


@given(labels, st.sampled_from("abc"), values)
def test_in_and_not_in_are_each_others_opposite(
    found: dict[str, str], key: str, wanted: frozenset[str]
):
    inside = Requirement(key, Operator.IN, wanted).holds(found)
    assert Requirement(key, Operator.NOT_IN, wanted).holds(found) is not inside


@given(labels, st.sampled_from("abc"), st.sampled_from("xyz"))
def test_one_more_requirement_never_selects_more(found: dict[str, str], key: str, value: str):
    one = Selector((Requirement("a", Operator.EXISTS),))
    two = Selector((*one.requirements, Requirement(key, Operator.IN, frozenset({value}))))
    assert one.matches(found) or not two.matches(found)
