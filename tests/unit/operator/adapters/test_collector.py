"""The garbage collector is told what lives for ever, and goes on collecting what doesn't."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from fleet.operator.adapters import collector


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Node:
    """Something that may refer to itself."""

    def __init__(self) -> None:
        self.me = self


def test_while_much_is_read_what_grows_is_not_looked_at_again():
    collector.expect_growth()
    assert gc.isenabled()
    assert gc.get_threshold()[2] > 100_000


def test_what_stands_is_never_looked_at_again_and_later_rubbish_is_collected():
    collector.expect_growth()
    standing = [Node() for _ in range(100)]
    collector.settle()
    assert gc.get_freeze_count() >= len(standing)
    assert gc.get_threshold()[2] < 100
    later = weakref.ref(Node())
    gc.collect()
    assert later() is None
