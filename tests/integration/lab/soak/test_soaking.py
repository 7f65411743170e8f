"""Fifty sessions of the bus, broken in every way under load: all that was put has arrived."""

from pathlib import Path

import pytest

from lab.soak import driver, outcome, schedule
from lab.soak.driver import Layout
from lab.soak.schedule import Fault

SEED = 10
SESSIONS = 50

pytestmark = pytest.mark.timeout(300)


async def test_whatever_breaks_a_session_all_that_was_put_arrives(tmp_path: Path):
    """A session that failed is run again by `invoke soak.bus --seed 10 --only NUMBER`."""
    breaks = schedule.plan(SEED, SESSIONS)
    run = await driver.run(SEED, breaks, tmp_path, Layout(), lambda _: None)
    assert [outcome.told(each) for each in run.failed] == []
    assert run.strays == ()
    assert {each.fault for each in run.outcomes} == set(Fault)
    assert len(run.outcomes) == SESSIONS
