"""
How far a lab has come, told to a person while another process brings it up, from what that says.

Its log has all of it; a person is told the lines that begin a part: those at the margin, up to
where the command sums up for itself or fails.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

_EVERY = 0.3
_ENDS = ("lab ", "failed: ")


@contextlib.contextmanager
def told(log: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """*tell* what is added to *log* as long as the block lasts, and all of it before it ends."""
    over = threading.Event()
    follower = threading.Thread(target=_follow, args=(log, tell, over), daemon=True)
    follower.start()
    try:
        yield
    finally:
        over.set()
        follower.join()


def parts(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines that begin a part."""
    for line in lines:
        if line.startswith(_ENDS):
            return
        if line[:1].isalnum():
            yield line


def _follow(log: Path, tell: Callable[[str], None], over: threading.Event) -> None:
    count = 0
    while True:
        is_last = over.wait(_EVERY)
        found = tuple(parts(_whole_lines(log)))
        for line in found[count:]:
            tell(line)
        count = len(found)
        if is_last:
            return


def _whole_lines(log: Path) -> list[str]:
    with contextlib.suppress(OSError):  # it isn't there yet, or can't be: that is told elsewhere
        return log.read_text(errors="replace").rpartition("\n")[0].splitlines()
    return []
