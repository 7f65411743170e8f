"""
One lab for all end-to-end tests, brought up as a user does: `invoke lab.up`.

| Variable   | Effect                                                          |
|------------|-----------------------------------------------------------------|
| `LAB_NAME` | the lab to use (default `e2e`); one that is up is reused         |
| `LAB_KEEP` | `1`: leave the lab up; one that was up already stays up anyway   |

The tests share the lab, so they run one after another: `pytest tests/e2e -n0`.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.hosts import Snapshot, snapshot
from tests.using_lab import sessions
from tests.using_lab.evidence import pytest_runtest_makereport  # noqa: F401 - a hook
from tests.using_lab.labs import Lab, Printed
from tests.using_lab.needing import fitting, needs  # noqa: F401 - fixtures
from tests.using_lab.sessions import (  # noqa: F401 - fixtures
    cluster,
    devices,
    fleet,
    images,
    status,
    sums,
    sums_hold,
)

pytest.register_assert_rewrite("tests.using_lab.deploying")

TIMEOUT = 240
HERE = Path(__file__).parent
# They break the lab, and end it.
LAST = ("test_snapshots.py", "test_repair.py", "test_teardown.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here their own time, and run those last that break the lab."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        # Fixtures keep their own time: the first one brings the lab up.
        item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))
    ours.sort(key=lambda item: LAST.index(item.path.name) + 1 if item.path.name in LAST else 0)
    items[:] = [item for item in items if HERE not in item.path.parents] + ours


@dataclass(frozen=True, slots=True)
class BroughtUp:
    """How the session's lab came up."""

    printed: Printed
    was_up: bool
    before: Snapshot


@pytest.fixture(scope="session")
def brought_up() -> Iterator[tuple[Lab, BroughtUp]]:
    """The session's lab, and how it came up."""
    before = snapshot()
    with sessions.lab(Lab(os.environ.get("LAB_NAME", "e2e"))) as (lab, printed, was_up):
        yield lab, BroughtUp(printed, was_up, before)


@pytest.fixture(scope="session")
def lab(brought_up: tuple[Lab, BroughtUp]) -> Lab:
    """The session's lab, up."""
    return brought_up[0]


@pytest.fixture(scope="session")
def first_up(brought_up: tuple[Lab, BroughtUp]) -> BroughtUp:
    """How the session's lab came up."""
    return brought_up[1]
