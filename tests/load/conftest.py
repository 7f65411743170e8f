"""
A lab of twenty devices for the tests of load, with the variables of `tests/e2e/conftest.py`.

Its name is `load` unless `LAB_NAME` says otherwise.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.using_lab import sessions
from tests.using_lab.cluster import Cluster
from tests.using_lab.evidence import pytest_runtest_makereport  # noqa: F401 - a hook
from tests.using_lab.labs import Lab, Status
from tests.using_lab.sessions import devices, images, status  # noqa: F401 - fixtures

NAMESPACE = "fleet-load"
TIMEOUT = 240
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here their own time, and the fixture that brings the lab up its own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The session's lab, up."""
    name = os.environ.get("LAB_NAME", "load")
    with sessions.lab(Lab(name, topology="load")) as (lab, _, _):
        yield lab


@pytest.fixture(scope="session")
def cluster(status: Status) -> Iterator[Cluster]:  # noqa: F811 - a fixture
    """The lab's cluster, with a namespace that no deployment is left in."""
    cluster = Cluster.of(status)
    cluster.ensure_namespaces(NAMESPACE)
    yield cluster
    cluster.kubectl("delete", "fleetdep", "--all", "-n", NAMESPACE, "--timeout=60s")
