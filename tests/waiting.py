"""Waiting for what happens elsewhere, by a name that says what was missing when it doesn't."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from lab.errors import WaitTimedOut
from lab.system import waiting

T = TypeVar("T")
EVERY_SECONDS = 0.02
AT_LAST_SECONDS = 0.2  # a look costs: what takes long is looked at less often


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


async def eventually(
    look: Callable[[], Awaitable[T | None]], what: str, *, within: float = 30.0
) -> T:
    """Wait until *look* finds something true, and return that."""
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    every = EVERY_SECONDS
    while True:
        found = await look()
        if found:
            return found
        if loop.time() > end:
            raise AssertionError(f"not within {within} s: {what}; last seen: {found!r}")
        await asyncio.sleep(every)
        every = min(every * 1.2, AT_LAST_SECONDS)


def appears(path: Path, what: str, *, within: float = 60) -> None:
    """Wait until *path* is there, which says that *what* has come about."""

    def missing() -> str:
        return "" if path.exists() else f"there is no {path}"

    waiting.wait_for(what, missing, within=within, every=EVERY_SECONDS)


def serves(
    what: str,
    missing: waiting.Probe,
    process: subprocess.Popen[bytes],
    log: Path,
    *,
    within: float,
) -> None:
    """Wait until nothing is *missing* of what *process* serves; show its log when that fails."""

    def check() -> None:
        if process.poll() is not None:
            raise RuntimeError(f"{what}: it ended\n{_tail(log)}")

    try:
        waiting.wait_for(what, missing, within=within, every=EVERY_SECONDS, check=check)
    except WaitTimedOut as exc:
        raise RuntimeError(f"{exc}\n{_tail(log)}") from exc


def _tail(log: Path) -> str:
    return log.read_text()[-2000:]
