"""What kopf is told of a deletion whose work fails: to ask again, and never that it may go on."""

import kopf
import pytest

from fleet.bus.memory import MemoryServer
from fleet.operator import kopf_handlers
from fleet.operator.controller import Controller
from tests.faults import Bug
from tests.unit.operator.fakes import FakeCluster, FakeCounter


async def test_a_deletion_whose_work_fails_is_recorded_and_tried_again():
    counter = FakeCounter()
    controller = Controller(MemoryServer().connect(), FakeCluster(), counter)

    async def fails() -> None:
        raise Bug("in the release")

    with pytest.raises(kopf.TemporaryError, match="in the release"):
        await kopf_handlers._recorded(controller, "u1", fails())
    assert counter.counts["contained kopf"] == 1
