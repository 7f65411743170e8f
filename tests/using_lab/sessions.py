"""
One lab for all tests of a session, and the fixtures that hang on it. They need a fixture ``lab``.

One that is up is reused and stays up; with ``LAB_KEEP=1`` one that was brought up stays up too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab, Printed, Status
from tests.using_lab.manifests import NAMESPACE, OTHER_NAMESPACE
from tests.using_lab.sums import Sums


@contextmanager
def lab(wanted: Lab) -> Iterator[tuple[Lab, Printed, bool]]:
    """Bring *wanted* up; yield it with what was printed, and whether it was up before."""
    if os.environ.get("PYTEST_XDIST_WORKER"):
        pytest.fail("the tests share one lab: run them with -n0")
    was_up = wanted.stage != "down"
    try:
        yield wanted, wanted.up(), was_up
    finally:
        if not was_up and os.environ.get("LAB_KEEP") != "1":
            wanted.down()


@pytest.fixture(scope="session")
def status(lab: Lab) -> Status:
    """What `lab.status` said when all was up; repairs change the pids."""
    return lab.status()


@pytest.fixture(scope="session")
def devices(status: Status) -> tuple[Device, ...]:
    """The devices of the lab."""
    return tuple(Device.of(each) for each in status["devices"])


@pytest.fixture(scope="session")
def cluster(status: Status) -> Cluster:
    """The lab's cluster, with the namespaces of the tests in it."""
    cluster = Cluster.of(status)
    cluster.ensure_namespaces(NAMESPACE, OTHER_NAMESPACE)
    return cluster


@pytest.fixture
def fleet(cluster: Cluster, devices: tuple[Device, ...]) -> Iterator[Fleet]:
    """The fleet, left after the test as it was found."""
    fleet = Fleet(cluster, devices)
    yield fleet
    fleet.tidy()


@pytest.fixture(scope="session")
def images(status: Status) -> Images:
    """What there is to run."""
    return Images(status["registry"]["address"])


@pytest.fixture(scope="session")
def sums(cluster: Cluster) -> Iterator[Sums]:
    """What is seen of every aggregate, from now on."""
    sums = Sums(cluster)
    sums.start()
    yield sums
    sums.stop()


@pytest.fixture
def sums_hold(sums: Sums) -> Iterator[None]:
    """Whatever the test does, the parts of each aggregate sum to the whole."""
    yield
    assert sums.broken == []
