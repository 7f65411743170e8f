"""docs/reliability.md names a test for each hazard: each is there."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "reliability.md").read_text()
NAMED = sorted(set(re.findall(r"`(\S+\.py)::(\w+)`", PAGE)))
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "Hazard" not in line]


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_guard_that_the_page_names_is_there(path: str, name: str):
    file = TESTS / path
    assert file.is_file(), f"no {path}"
    assert re.search(rf"^(async )?def {name}\(", file.read_text(), re.MULTILINE)


def test_each_hazard_has_a_guard():
    assert len(ROWS) > 20
    assert [row for row in ROWS if "::test_" not in row] == []
