"""
The garbage collector, told what the operator is: many values that live as long as the process.

While they are read it would look at all of them again and again, in steps of seconds, and find
nothing: they hold no cycles. What stands once everything was listed is never looked at again.
"""

import gc
from typing import Final

_YOUNG: Final = 10_000
_NEVER: Final = 1_000_000


def expect_growth() -> None:
    """Collect what is young, and leave the growing rest alone."""
    gc.set_threshold(_YOUNG, 10, _NEVER)


def settle() -> None:
    """Take what stands now out of every collection to come."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)
