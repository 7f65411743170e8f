"""
Which Events are posted: bounds their number per resource, per kind and in all.

Events of one reason about one object are one series: posted again, they count
up and replace the message. Each object may post a few, then now and then; so
may all objects of a kind together. What is left out is not lost: the last of it
is posted, with a word on the rest, as soon as there is room.
"""

from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeAlias, TypeVar

from fleet.operator.decisions.events import Event
from fleet.operator.decisions.token_bucket import TokenBucket

# Of taste: a person reads ten lines about an object, and fifty about a fleet.
EACH_BURST: Final = 10
EACH_RATE: Final = 1 / 30
ALL_BURST: Final = 50
ALL_RATE: Final = 2.0
# The API server itself forgets an Event after an hour.
LIFETIME: Final = timedelta(hours=1)
KEPT: Final = 4096

Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Series:
    """How often something was told, and when."""

    first: datetime
    last: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Post:
    """What to write to the API server."""

    event: Event
    series: Series

    @property
    def key(self) -> Key:
        """Name the series: one object of the API server."""
        return _key(self.event)


class Correlator:
    """Decides about each Event in turn. What it remembers is bounded."""

    def __init__(self) -> None:
        self._series: OrderedDict[Key, Series] = OrderedDict()
        self._each: OrderedDict[str, TokenBucket] = OrderedDict()
        self._all: dict[str, TokenBucket] = {}
        # By kind and reason, then by uid.
        self._left_out: dict[Key, OrderedDict[str, Event]] = {}

    def __len__(self) -> int:
        """Count what is remembered."""
        left_out = sum(len(events) for events in self._left_out.values())
        return len(self._series) + len(self._each) + left_out

    def take(self, event: Event, now: datetime) -> Post | None:
        """Decide about *event*: what to post, or None when it is left out for now."""
        series = self._count(event, now)
        left_out = self._left_out.setdefault((event.about.kind, event.reason), OrderedDict())
        left_out.pop(event.about.uid, None)  # this one is later
        if self._takes_room(event, now):
            return Post(event, series)
        left_out[event.about.uid] = event
        _trim(left_out)
        return None

    def catch_up(self, now: datetime) -> tuple[Post, ...]:
        """List what sums up that which was left out, as far as there is room."""
        return tuple(
            post
            for left_out in self._left_out.values()
            if (post := self._sum_up(left_out, now)) is not None
        )

    def _sum_up(self, left_out: OrderedDict[str, Event], now: datetime) -> Post | None:
        last = next((e for e in reversed(left_out.values()) if self._takes_room(e, now)), None)
        if last is None:
            return None
        message = last.message
        if len(left_out) > 1:
            message += f" (and so of {len(left_out) - 1} more, which are not listed one by one)"
        left_out.clear()
        event = replace(last, message=message)
        return Post(event, self._series.get(_key(event)) or Series(now, now, 1))

    def _count(self, event: Event, now: datetime) -> Series:
        known = self._series.pop(_key(event), None)
        if known is None or now - known.last > LIFETIME:
            known = Series(now, now, 0)
        series = replace(known, last=now, count=known.count + 1)
        self._series[_key(event)] = series
        _trim(self._series)
        return series

    def _takes_room(self, event: Event, now: datetime) -> bool:
        seconds = now.timestamp()
        together = self._all.setdefault(event.about.kind, TokenBucket(ALL_RATE, ALL_BURST))
        if not together.has(seconds):
            return False
        each = self._each.pop(event.about.uid, None) or TokenBucket(EACH_RATE, EACH_BURST)
        self._each[event.about.uid] = each
        _trim(self._each)
        return each.take(seconds) and together.take(seconds)


def _key(event: Event) -> Key:
    return event.about.uid, event.reason


K = TypeVar("K")
V = TypeVar("V")


def _trim(kept: OrderedDict[K, V]) -> None:
    if len(kept) > KEPT:
        kept.popitem(last=False)
