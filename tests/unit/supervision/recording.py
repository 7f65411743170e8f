"""A watcher that remembers, and failures recorded with it in virtual time."""

from collections.abc import Hashable

from fleet.supervision.failures import Failure, Failures


class Remembering:
    """`failures.Watcher`: keeps what it was told."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.recovered_parts: list[tuple[str, Hashable]] = []

    def failed(self, failure: Failure) -> None:
        """Keep a failure."""
        self.failures.append(failure)

    def recovered(self, part: str, key: Hashable) -> None:
        """Keep a recovery."""
        self.recovered_parts.append((part, key))

    def streaks(self, part: str) -> list[int]:
        """List the streaks of one part."""
        return [f.streak for f in self.failures if f.part == part]


def recorder() -> tuple[Failures, Remembering]:
    """Make a recorder with a watcher; its time stands still."""
    watcher = Remembering()
    return Failures([watcher], now=lambda: 0.0), watcher


class Unprintable(Exception):
    """An exception whose message has a bug of its own."""

    def __str__(self) -> str:
        raise ZeroDivisionError


def of_every_kind() -> list[BaseException]:
    """List one exception of each kind that a library may raise, none of which ends a task."""
    return [
        RuntimeError("a bug"),
        OverflowError("a date"),
        RecursionError("nested"),
        MemoryError(),
        SystemExit(0),
        StopAsyncIteration(),
        ExceptionGroup("several", [KeyError("a"), ValueError("b")]),
        BaseException("bare"),
        Unprintable(),
    ]
