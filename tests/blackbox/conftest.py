"""
The lab as seen by someone who never read Fleet's code.

Kubectl, podman's sockets, raw NATS messages as docs/contracts.md writes them, and `lab.status
--format json`: nothing here imports `fleet` or `lab`, and a unit test proves it. The fixtures, and
what `LAB_NAME` and `LAB_KEEP` do, are those of the end-to-end tests: `pytest tests/blackbox -n0`.
"""

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.soak.judgement.wire import Wire
from tests.blackbox.buckets import ALL, Buckets
from tests.blackbox.stand_in import StandIn
from tests.using_lab import sessions
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.evidence import pytest_runtest_makereport  # noqa: F401 - a hook
from tests.using_lab.fleets import Fleet
from tests.using_lab.labs import Lab, Status
from tests.using_lab.manifests import NAMESPACE, OTHER_NAMESPACE
from tests.using_lab.waiting import eventually

TIMEOUT = 300
HERE = Path(__file__).parent
TOPOLOGY = str(HERE / "impatient.yaml")
Join = Callable[..., StandIn]

status = sessions.status
devices = sessions.devices
images = sessions.images
sums = sessions.sums
sums_hold = sessions.sums_hold


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here their own time."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The session's lab, up."""
    with sessions.lab(Lab(os.environ.get("LAB_NAME", "blackbox"), TOPOLOGY)) as (lab, _, _):
        yield lab


@pytest.fixture(scope="session")
def cluster(status: Status) -> Cluster:
    """The lab's cluster, with the namespaces of the tests in it."""
    cluster = Cluster.of(status)
    cluster.ensure_namespaces(NAMESPACE, OTHER_NAMESPACE)
    return cluster


@pytest.fixture(autouse=True)
def watched(sums_hold: None) -> None:
    """See every aggregate while the test runs."""


@pytest.fixture
def buckets(status: Status) -> Iterator[Buckets]:
    """The buckets, by the administrator's hand."""
    with Wire(status["nats"]["url"], _admin(status)) as wire:
        yield Buckets(wire)


@pytest.fixture
def join(status: Status, cluster: Cluster) -> Iterator[Join]:
    """Let a stand-in join the fleet; it leaves, and is forgotten, after the test."""
    joined: list[StandIn] = []

    def let_join(labels: dict[str, str] | None = None, device_id: str = "") -> StandIn:
        name = device_id or f"other-{secrets.token_hex(3)}"
        found = StandIn(
            status["nats"]["url"], _admin(status), name, {"make": name, **(labels or {})}
        )
        joined.append(found)
        found.start()
        cluster.await_condition("fleetdev", name, "Ready", "True")
        return found

    yield let_join
    for each in joined:
        each.stop()
    for name in {each.id for each in joined}:
        forget(status, cluster, name)


@pytest.fixture
def fleet(join: Join, cluster: Cluster, devices: tuple[Device, ...]) -> Iterator[Fleet]:
    """The fleet, left after the test as it was found; before the stand-ins leave it."""
    fleet = Fleet(cluster, devices)
    yield fleet
    fleet.tidy()


def forget(status: Status, cluster: Cluster, device: str) -> None:
    """Delete a device as a user does, and see that no bucket knows it any more."""
    cluster.kubectl("delete", "fleetdev", device, "--timeout=60s", "--ignore-not-found")

    def look() -> None:
        with Wire(status["nats"]["url"], _admin(status)) as wire:
            buckets = Buckets(wire)
            assert {bucket: buckets.keys(bucket, device) for bucket in ALL} == {
                bucket: set() for bucket in ALL
            }

    look.__doc__ = f"no bucket knows {device}"
    eventually(look, within=60)


def _admin(status: Status) -> Path:
    return Path(status["nats"]["credentials"]["admin"])
