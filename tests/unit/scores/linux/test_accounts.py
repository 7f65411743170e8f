"""Accounts: whose subordinate ids are in the way of whose."""

import pytest

from fleet.scores.linux import accounts
from fleet.scores.linux.accounts import SubordinateIds

OURS = SubordinateIds(1000, 100)


@pytest.mark.parametrize(
    ("line", "takes"),
    [
        pytest.param("other:900:100", False, id="ends just before"),
        pytest.param("other:900:101", True, id="ends with our first"),
        pytest.param("other:1099:1", True, id="begins with our last"),
        pytest.param("other:1100:100", False, id="begins just after"),
        pytest.param("other:1:5000", True, id="around ours"),
        pytest.param("other:1050:1", True, id="amid ours"),
        pytest.param("worker:1000:100", False, id="our own"),
    ],
)
def test_ranges_side_by_side_are_in_nobodys_way_and_one_shared_number_is(line: str, takes: bool):
    assert bool(accounts.takers(OURS, line, but=["worker"])) is takes


@pytest.mark.parametrize(
    "line",
    ["", "other", "other:x:100", "other:1000", "other:1000:x", "other:1000:0", "other:0:9999"],
)
def test_a_line_that_gives_no_numbers_is_in_nobodys_way(line: str):
    assert accounts.takers(OURS, line, but=[]) == ()


def test_who_takes_some_is_told_with_which():
    assert accounts.takers(OURS, "other:1050:10", but=[]) == ("other (1050-1059)",)
