"""
Hands the entries of a watch on one by one: an entry that fails keeps no other from being taken.

What nobody foresaw in the work for one key is recorded. The view then holds that something
stands there which can't be read, as with bytes that don't decode: a value that breaks one reader
would break the next one, who may read it for the sake of another device. The entry is taken again
after a backoff, until that succeeds or the key has a newer one.

What the end of a replay brings about concerns all keys: where that fails, the watch starts over.
"""

from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from fleet import errors
from fleet.bus.port import Entry, Event, Synced, Undecodable
from fleet.contracts.messages import Message
from fleet.supervision import containment
from fleet.supervision.failures import Failures

M = TypeVar("M", bound=Message)

# The others are taken again by the next replay.
MOST_RETRIED: Final = 1000


class EntryTaker(Generic[M]):
    """
    Hands each event to *take*, and says so to *changed*.

    *owner* makes of a key what the failure concerns: a device, or a pair of it and a deployment.
    *retry* has `take_again` called for one, after a while; a work queue does.
    """

    def __init__(
        self,
        name: str,
        take: Callable[[Event[M]], Awaitable[None]],
        owner: Callable[[str], Hashable],
        *,
        changed: Callable[[], None],
        retry: Callable[[Hashable], None],
        failures: Failures,
    ) -> None:
        self._name = name
        self._take = take
        self._owner = owner
        self._changed = changed
        self._failures = failures
        self._failed: dict[Hashable, Entry[M]] = {}
        self._retry = retry

    async def handle(self, event: Event[M]) -> None:
        """
        Take one event.

        :raises errors.RetryableError: what was read meanwhile isn't to be had.
        """
        if isinstance(event, Synced):
            await self._take(event)
        else:
            await self._take_entry(event)
        self._changed()

    async def _take_entry(self, entry: Entry[M]) -> None:
        owner = self._read_owner(entry.key)
        self._failed.pop(owner, None)
        contained = self._failures.contained(self._name, owner, passes=(errors.RetryableError,))
        with contained:
            await self._take(entry)
        if contained.failure:
            await self._take_as_undecodable(entry, contained.failure.message)
            if len(self._failed) < MOST_RETRIED:
                self._failed[owner] = entry
                self._retry(owner)

    async def take_again(self, owner: Hashable) -> None:
        """Take the entry that failed last, unless there is a newer one."""
        entry = self._failed.get(owner)
        if entry is None:
            return
        try:
            await self._take(entry)
        except BaseException as exc:
            if self._failed.get(owner) is entry and not containment.must_end(exc):
                await self._take_as_undecodable(entry, containment.sentence(exc))
            raise
        if self._failed.get(owner) is entry:
            del self._failed[owner]
        self._failures.recovered(self._name, owner)
        self._changed()

    async def _take_as_undecodable(self, entry: Entry[M], error: str) -> None:
        """Put what can't be read into the place of a value that breaks its reader."""
        unread = Undecodable(entry.key, entry.revision, entry.at, error)
        with self._failures.contained(self._name, entry.key, passes=(errors.RetryableError,)):
            await self._take(unread)

    def _read_owner(self, key: str) -> Hashable:
        try:
            return self._owner(key)
        except errors.InvalidKey:
            return key
