"""
The recorder of failures: each is logged with its traceback, counted by part, and told.

*Part* is one of a bounded set of names: a task, a queue, a watch. *Key* is what the part worked
on, such as a device's or a deployment's name; empty where it is the part itself that failed.

A failure that repeats is logged ever more rarely, and a traceback again after some minutes: ten
thousand keys that fail by the same bug don't fill a log. Recording never raises.
"""

import asyncio
import contextlib
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Protocol, Self

import structlog

from fleet import errors
from fleet.supervision import containment

log = structlog.get_logger()

TRACEBACK_SECONDS: Final = 300.0
KEPT_PLACES: Final = 256
KEPT_KEYS: Final = 64  # per part; of taste: nobody reads more
# Longer than any backoff: what isn't tried any more, since its key is gone, doesn't stand for ever.
STANDING_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True)
class Failure:
    """
    One failure. *streak* counts those in a row of the same key.

    *is_foreseen*: it is an error of Fleet's own, which says what happened; else it is a bug.
    """

    part: str
    key: Hashable
    reason: str
    message: str
    streak: int = 1
    is_foreseen: bool = False


class Watcher(Protocol):
    """Somebody who tells the owner of a part or key. May raise; then that is logged too."""

    def failed(self, failure: Failure) -> None:
        """Take note of a failure: also of each repetition."""

    def recovered(self, part: str, key: Hashable) -> None:
        """Take note that a key which had failed did not fail any more."""


@dataclass(slots=True)
class _Part:
    count: int = 0
    standing: OrderedDict[Hashable, Failure] = field(default_factory=OrderedDict)
    at: dict[Hashable, float] = field(default_factory=dict)


class Failures:
    """Records what failed, and what failed last and has not recovered since."""

    def __init__(
        self, watchers: Iterable[Watcher] = (), now: Callable[[], float] = time.monotonic
    ) -> None:
        self._watchers = list(watchers)
        self._now = now
        self._parts: dict[str, _Part] = {}
        self._logged: OrderedDict[tuple[str, str], float] = OrderedDict()

    def add_watcher(self, watcher: Watcher) -> None:
        """Tell *watcher*, too."""
        self._watchers.append(watcher)

    @property
    def counts(self) -> Counter[str]:
        """Count the failures so far by part."""
        return Counter({name: part.count for name, part in self._parts.items()})

    def standing(self, part: str | None = None) -> tuple[Failure, ...]:
        """List the failures that have not recovered: the last of each key, a bounded number."""
        parts = sorted(self._parts) if part is None else [part]
        return tuple(f for p in parts if p in self._parts for f in self._parts[p].standing.values())

    def failed(
        self, part: str, key: Hashable, error: BaseException, streak: int | None = None
    ) -> Failure:
        """Record a failure. Without *streak* it is counted from those that stand."""
        record = self._parts.setdefault(part, _Part())
        known = record.standing.pop(key, None)
        failure = Failure(
            part,
            key,
            containment.reason(error),
            containment.sentence(error),
            streak or (known.streak + 1 if known else 1),
            is_foreseen=_is_foreseen(error),
        )
        record.count += 1
        record.standing[key] = failure
        record.at[key] = self._now()
        if len(record.standing) > KEPT_KEYS:
            dropped, _ = record.standing.popitem(last=False)
            del record.at[dropped]
        self._safely(lambda: self._log(failure, error))
        for watcher in self._watchers:
            self._safely(lambda watcher=watcher: watcher.failed(failure))  # type: ignore[misc]
        return failure

    def recovered(self, part: str, key: Hashable = "") -> None:
        """Record that a key didn't fail; costs nothing where it had not."""
        record = self._parts.get(part)
        if record is None or record.standing.pop(key, None) is None:
            return
        record.at.pop(key, None)
        self._safely(lambda: log.info("failure over", part=part, key=str(key)))
        for watcher in self._watchers:
            self._safely(lambda watcher=watcher: watcher.recovered(part, key))  # type: ignore[misc]

    def expire(self) -> None:
        """Take failures for over that have not repeated for long: their keys may be gone."""
        latest = self._now() - STANDING_SECONDS
        for name, record in self._parts.items():
            for key in [key for key, at in record.at.items() if at < latest]:
                self.recovered(name, key)

    def contained(
        self, part: str, key: Hashable = "", *, passes: tuple[type[BaseException], ...] = ()
    ) -> "Contained":
        """Contain what fails in a ``with`` block, and record it; *passes* is raised as ever."""
        return Contained(self, part, key, passes)

    def _log(self, failure: Failure, error: BaseException) -> None:
        fields = {
            "part": failure.part,
            "key": str(failure.key),
            "reason": failure.reason,
            "error": failure.message,
            "streak": failure.streak,
        }
        is_rare = failure.streak & (failure.streak - 1) == 0  # the 1st, 2nd, 4th, 8th, …
        if failure.is_foreseen:
            (log.warning if failure.streak == 1 else log.debug)("work failed", **fields)
        elif self._is_new(failure.part, f"{failure.reason} {containment.place(error)}"):
            log.error("unexpected exception", exc_info=error, **fields)
        else:
            (log.error if is_rare else log.debug)("unexpected exception again", **fields)

    def _is_new(self, part: str, place: str) -> bool:
        now = self._now()
        logged = self._logged.get((part, place))
        if logged is not None and now - logged < TRACEBACK_SECONDS:
            return False
        self._logged[part, place] = now
        self._logged.move_to_end((part, place))
        if len(self._logged) > KEPT_PLACES:
            self._logged.popitem(last=False)
        return True

    @staticmethod
    def _safely(tell: Callable[[], object]) -> None:
        """Tell; who can't be told is no reason to stop."""
        try:
            tell()
        except Exception as exc:
            with contextlib.suppress(Exception):
                log.exception("failure not told", error=containment.sentence(exc))


def _is_foreseen(error: BaseException) -> bool:
    return isinstance(error, errors.FleetError) and not isinstance(error, errors.InternalError)


class Contained:
    """
    A block whose failure ends only the block. `failure` is None where there was none.

    A cancellation is passed on, also one that the block made a result or another exception of.
    """

    def __init__(
        self, failures: Failures, part: str, key: Hashable, passes: tuple[type[BaseException], ...]
    ) -> None:
        self._failures = failures
        self._part = part
        self._key = key
        self._passes = passes
        self._task: asyncio.Task[Any] | None = None
        self._cancellations = 0
        self.failure: Failure | None = None

    def __enter__(self) -> Self:
        self._task = containment.running_task()
        self._cancellations = containment.cancellations(self._task)
        return self

    def __exit__(self, _: object, error: BaseException | None, __: TracebackType | None) -> bool:
        if error is None:
            self._failures.recovered(self._part, self._key)
        elif isinstance(error, self._passes) or containment.must_end(error):
            return False
        else:
            self.failure = self._failures.failed(self._part, self._key, error)
        if containment.cancellations(self._task) > self._cancellations:
            raise asyncio.CancelledError
        return error is not None
