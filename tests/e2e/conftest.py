"""
One lab for all end-to-end tests, brought up as a user does: `invoke lab.up`.

| Variable   | Effect                                                          |
|------------|-----------------------------------------------------------------|
| `LAB_NAME` | the lab to use (default `e2e`); one that is up is reused         |
| `LAB_KEEP` | `1`: leave the lab up; one that was up already stays up anyway   |

The tests share the lab, so they run one after another: `pytest tests/e2e -n0`.
"""

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e import evidence
from tests.e2e.cluster import Cluster
from tests.e2e.devices import Device
from tests.e2e.fleets import Fleet
from tests.e2e.hosts import Snapshot, snapshot
from tests.e2e.images import Images
from tests.e2e.labs import Lab, Printed, Status
from tests.e2e.manifests import NAMESPACE, OTHER_NAMESPACE

TIMEOUT = 240
HERE = Path(__file__).parent
LAST = ("test_repair.py", "test_teardown.py")  # they break the lab, and end it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here their own time, and run those last that break the lab."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        # Fixtures keep their own time: the first one brings the lab up.
        item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))
    ours.sort(key=lambda item: LAST.index(item.path.name) + 1 if item.path.name in LAST else 0)
    items[:] = [item for item in items if HERE not in item.path.parents] + ours


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the lab's parts last said to the report of a failure."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        try:
            report.sections.extend(evidence.gather(lab))
        except Exception as exc:  # noqa: BLE001 - evidence must not hide the failure
            report.sections.append(("no evidence", repr(exc)))
    return report


@dataclass(frozen=True, slots=True)
class BroughtUp:
    """How the session's lab came up."""

    printed: Printed
    was_up: bool
    before: Snapshot


@pytest.fixture(scope="session")
def brought_up() -> Iterator[tuple[Lab, BroughtUp]]:
    """Bring the session's lab up, and take it down again unless it was up or is to be kept."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.fail("the end-to-end tests share one lab: run them with -n0")
    lab = Lab(os.environ.get("LAB_NAME", "e2e"))
    was_up = lab.stage != "down"
    before = snapshot()
    yield lab, BroughtUp(lab.up(), was_up, before)
    if not was_up and os.environ.get("LAB_KEEP") != "1":
        lab.down()


@pytest.fixture(scope="session")
def lab(brought_up: tuple[Lab, BroughtUp]) -> Lab:
    """The session's lab, up."""
    return brought_up[0]


@pytest.fixture(scope="session")
def first_up(brought_up: tuple[Lab, BroughtUp]) -> BroughtUp:
    """How the session's lab came up."""
    return brought_up[1]


@pytest.fixture(scope="session")
def status(lab: Lab) -> Status:
    """What `lab.status` said when all was up; repairs change the pids."""
    return lab.status()


@pytest.fixture(scope="session")
def cluster(status: Status) -> Cluster:
    """The lab's cluster, with the namespaces of the tests in it."""
    cluster = Cluster(Path(status["kubernetes"]["kubeconfig"]))
    cluster.apply(
        *(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            for name in (NAMESPACE, OTHER_NAMESPACE)
        )
    )
    return cluster


@pytest.fixture(scope="session")
def devices(status: Status) -> tuple[Device, ...]:
    """The devices of the lab."""
    return tuple(Device.of(each) for each in status["devices"])


@pytest.fixture(scope="session")
def images(status: Status) -> Images:
    """What there is to run."""
    return Images(status["registry"]["address"])


@pytest.fixture
def fleet(cluster: Cluster, devices: tuple[Device, ...]) -> Iterator[Fleet]:
    """The fleet, left after the test as it was found."""
    fleet = Fleet(cluster, devices)
    yield fleet
    fleet.tidy()
