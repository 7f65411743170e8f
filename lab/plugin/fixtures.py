"""The fixtures that a test asks for. The first that does brings the lab up."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.plugin.session import runs
from lab.plugin.session.runs import Run

if TYPE_CHECKING:  # a run that uses no lab doesn't pay for it
    from lab.plugin.broker import Nats
    from lab.plugin.cluster import Cluster
    from lab.plugin.devices import Device, Lab


@pytest.fixture(scope="session", name=runs.FIXTURE)
def _fleet_lab_run(pytestconfig: pytest.Config) -> Run:
    """What every other fixture of the lab hangs on: by it, a test is known to use the lab."""
    return runs.of(pytestconfig)


@pytest.fixture(scope="session")
def lab(_fleet_lab_run: Run) -> "Lab":
    """The lab, up: its name, status, paths, and devices to lease. One for all workers."""
    return _fleet_lab_run.lab()


@pytest.fixture
def device(_fleet_lab_run: Run, request: pytest.FixtureRequest) -> "Iterator[Device]":
    """A device of the lab that is the test's alone, as the marker ``needs`` wants it."""
    with _fleet_lab_run.leased(request.node) as leased:
        yield leased


@pytest.fixture(scope="session")
def devices(_fleet_lab_run: Run) -> "tuple[Device, ...]":
    """All devices of the lab, whoever holds them."""
    return _fleet_lab_run.lab().devices


@pytest.fixture(scope="session")
def cluster(_fleet_lab_run: Run) -> "Cluster":
    """The lab's Kubernetes API, as its administrator."""
    from lab.plugin.cluster import Cluster  # noqa: PLC0415

    told = _fleet_lab_run.lab().status["kubernetes"]
    return Cluster(Path(told["kubeconfig"]), told["server"])


@pytest.fixture(scope="session")
def nats(_fleet_lab_run: Run) -> "Nats":
    """The lab's NATS, as its administrator."""
    from lab.plugin.broker import Nats  # noqa: PLC0415

    told = _fleet_lab_run.lab().status["nats"]
    return Nats(told["url"], Path(told["credentials"]["admin"]))
