"""
One lab with a machine for all tests here, brought up as a user does: `invoke lab.up`.

`LAB_NAME` (default `vm-e2e`) and `LAB_KEEP` are those of the end-to-end tests. A test marked `slow`
takes minutes of the machine; `invoke test` leaves those out.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

from lab.doctor import machine_preflight
from lab.images.cloud import cache, catalogue
from lab.lifecycle import topology
from lab.lifecycle.topology import Backend
from tests.using_lab import insides, sessions
from tests.using_lab.evidence import pytest_runtest_makereport  # noqa: F401 - a hook
from tests.using_lab.labs import Lab, Status
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
from tests.vm.machines import Machine

pytest.register_assert_rewrite("tests.using_lab.deploying")

TIMEOUT = 600
TOPOLOGY = os.environ.get("LAB_TOPOLOGY", "vm-smoke")
HERE = Path(__file__).parent
LAST = (  # they break the machine, or make another of it
    "test_snapshots.py", "test_boots.py", "test_faults.py", "test_promoting.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests here their own time, and run those last that leave another machine."""
    ours = [item for item in items if HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.timeout(TIMEOUT, func_only=True))
    ours.sort(key=lambda item: _turn(item.path.name))
    items[:] = [item for item in items if HERE not in item.path.parents] + ours


def _turn(name: str) -> int:
    return LAST.index(name) + 1 if name in LAST else 0


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The session's lab, up; where this host can't carry its machines, skipped with the reason."""
    if lacks := "; ".join(filter(None, (each.reason() for each in _preflight()))):
        # The proof of a change installs what it needs: there a skip would hide that it didn't.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(lacks)
    wanted = Lab(os.environ.get("LAB_NAME", "vm-e2e"), TOPOLOGY)
    with sessions.lab(wanted) as (lab, _, _):
        yield lab


@pytest.fixture(scope="session")
def machine(lab: Lab, status: Status) -> Machine:  # noqa: F811 - a fixture
    """The lab's machine."""
    return Machine.of(lab, status["devices"][0])


@pytest.fixture(scope="session")
def host(status: Status) -> Any:  # noqa: F811 - a fixture
    """The machine as testinfra sees it: over SSH, as root, with the pinned host key."""
    device = status["devices"][0]
    config = insides.ssh_config(device)
    return testinfra.get_host(f"ssh://{device['id']}", ssh_config=str(config), sudo=True)


def _preflight() -> Iterator[machine_preflight.PreflightReport]:
    machines = topology.load(TOPOLOGY).of(Backend.VM)
    for image in map(catalogue.find, sorted({each.machine_image for each in machines})):
        yield machine_preflight.check_fleet_smoke_preflight_for_arch(
            image.arch, has_image=cache.stored(image) is not None
        )
