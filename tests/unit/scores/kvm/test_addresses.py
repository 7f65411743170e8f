"""Hardware addresses: one spelling for each, and of one interface alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.scores.kvm.addresses import MacAddress

KEPT = "52:54:00:ab:cd:ef"


@pytest.mark.parametrize(
    "spelled", [KEPT, KEPT.upper(), "52-54-00-AB-CD-EF", "5254.00ab.cdef", "5254.00AB.CDEF"]
)
def test_every_spelling_of_an_address_is_kept_as_one(spelled):
    assert MacAddress(spelled) == KEPT


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "empty"),
        ("52:54:00:ab:cd", "six pairs"),
        ("52:54:00:ab:cd:ef:01", "six pairs"),
        ("52:54-00:ab:cd:ef", "six pairs"),
        ("525400abcdef", "six pairs"),
        ("52:54:00:ab:cd:eg", "six pairs"),
        ("52:54:00:ab:cd:ef\n", "six pairs"),
        ("52:54:00:ab:cd:e٣", "six pairs"),
        ("00:00:00:00:00:00", "nobody's"),
        ("ff:ff:ff:ff:ff:ff", "broadcast"),
        ("01:00:5e:00:00:01", "multicast"),
        ("33:33:00:00:00:01", "multicast"),
    ],
    ids=repr,
)
def test_anything_else_is_refused_with_the_rule_that_it_breaks(value, rule):
    with pytest.raises(errors.InvalidMac, match=re.escape(rule)) as refusal:
        MacAddress(value)
    assert refusal.value.element == value


@given(st.lists(st.text(), min_size=1))
def test_a_derived_address_is_one_interface_s_and_the_same_each_time(seed):
    derived = MacAddress.of(*seed)
    assert derived == MacAddress.of(*seed) == MacAddress(derived)
    assert derived.startswith("52:54:00:")


def test_what_is_derived_tells_where_one_seed_ends_and_the_next_begins():
    assert MacAddress.of("ab", "c") != MacAddress.of("a", "bc")
