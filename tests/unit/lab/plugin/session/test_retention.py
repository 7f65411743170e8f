"""`lab.plugin.session.retention`: what becomes of the lab at the end of a run, row by row."""

import pytest

from lab.plugin.session import retention
from lab.plugin.session.retention import Fate
from lab.plugin.settings import Keep

UP, DOWN = Fate.LEFT_UP, Fate.TAKEN_DOWN


@pytest.mark.parametrize("keep", Keep)
@pytest.mark.parametrize("failed", [True, False])
def test_a_lab_that_was_up_before_the_run_is_never_taken_down(keep: Keep, failed: bool):
    assert retention.fate(keep, failed=failed, was_up=True) is UP


@pytest.mark.parametrize("keep", Keep)
@pytest.mark.parametrize("failed", [True, False])
def test_nothing_is_kept_of_what_a_host_cannot_carry(keep: Keep, failed: bool):
    assert retention.fate(keep, failed=failed, was_up=False, is_unfit=True) is DOWN


@pytest.mark.parametrize(
    ("keep", "failed", "fate"),
    [
        (Keep.NEVER, False, DOWN),
        (Keep.NEVER, True, DOWN),
        (Keep.ON_FAILURE, False, DOWN),
        (Keep.ON_FAILURE, True, UP),
        (Keep.ALWAYS, False, UP),
        (Keep.ALWAYS, True, UP),
    ],
)
def test_a_lab_that_the_run_made_is_kept_as_was_asked(keep: Keep, failed: bool, fate: Fate):
    assert retention.fate(keep, failed=failed, was_up=False) is fate
