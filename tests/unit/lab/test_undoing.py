"""`lab.undoing`: there is a way back from everything the lab makes."""

from lab import undoing
from lab.ledger import Kind


def test_every_kind_can_be_undone():
    assert set(undoing.UNDOERS) == set(Kind)
