"""`lab.undoing`: there is a way back from everything the lab makes."""

from lab.host.ledger import Kind
from lab.lifecycle import take_down


def test_every_kind_can_be_undone():
    assert set(take_down.UNDOERS) == set(Kind)
