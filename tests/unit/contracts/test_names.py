"""Device ids and deployment names: RFC 1123 labels, and nothing else."""

import re

import pytest
from hypothesis import given

from fleet import errors
from fleet.contracts.names import LABEL_PATTERN, DeploymentName, DeviceId
from tests.unit.contracts import strategies

KINDS = pytest.mark.parametrize("kind", [DeviceId, DeploymentName])


@KINDS
@pytest.mark.parametrize("value", ["a", "0", "pi-01", "a--b", "x" * 63, "0-0"])
def test_a_label_is_a_name(kind, value):
    assert kind(value) == value
    assert isinstance(kind(value), str)
    assert repr(kind(value)) == f"{kind.__name__}({value!r})"


@KINDS
@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "empty"),
        ("x" * 64, "64 characters, 63 are allowed"),
        ("X" * 63, "'X' is not"),
        ("Pi", "'P' is not"),
        ("a.b", "'.' is not"),
        ("a*", "'*' is not"),
        ("a>", "'>' is not"),
        ("a b", "' ' is not"),
        ("a\n", r"'\n' is not"),
        ("a_b", "'_' is not"),
        ("ä", "'ä' is not"),
        ("٣", "'٣' is not"),
        ("-a", "begin and end"),
        ("a-", "begin and end"),
        ("ab-", "begin and end"),
    ],
    ids=str,
)
def test_anything_else_is_refused_with_the_rule_that_it_breaks(kind, value, rule):
    with pytest.raises(errors.InvalidName, match=re.escape(rule)) as refusal:
        kind(value)
    assert isinstance(refusal.value, ValueError)
    assert refusal.value.element == value


@given(strategies.any_text)
def test_names_and_the_pattern_of_the_custom_resources_agree(value):
    fits = len(value) <= 63 and re.compile(LABEL_PATTERN.replace("$", r"\Z")).match(value)
    try:
        DeviceId(value)
    except errors.InvalidName:
        assert not fits
    else:
        assert fits
