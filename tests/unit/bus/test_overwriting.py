"""`fleet.bus.overwriting`: each write names what it expects, whether or not its caller minds."""

import asyncio
from datetime import timedelta

import pytest

from fleet import errors
from fleet.bus.overwriting import Overwriting

PATIENT = timedelta(seconds=10)


class Key:
    """What stands at one key, and what was expected of it."""

    def __init__(self, *revisions: int | None) -> None:
        self.expected: list[int] = []
        self._standing = list(revisions)  # the last one stays; None: a write is on its way

    async def write(self, expected: int) -> int:
        self.expected.append(expected)
        standing = self._standing.pop(0) if len(self._standing) > 1 else self._standing[0]
        if standing != expected:
            raise errors.RevisionConflict("wrong last sequence", found=standing)
        self._standing = [standing + 1]
        return standing + 1


async def test_a_write_names_what_stands_there_though_its_caller_does_not_mind():
    key, overwriting = Key(0), Overwriting(PATIENT)
    assert [await overwriting.write("k", key.write) for _ in range(3)] == [1, 2, 3]
    assert key.expected == [0, 1, 2]


async def test_what_somebody_else_wrote_is_written_over():
    key, overwriting = Key(7), Overwriting(PATIENT)
    assert await overwriting.write("k", key.write) == 8
    assert key.expected == [0, 7]


async def test_keys_are_not_mixed_up():
    one, other, overwriting = Key(7), Key(30), Overwriting(PATIENT)
    for key, name in ((one, "one"), (other, "other"), (one, "one")):
        await overwriting.write(name, key.write)
    assert (one.expected, other.expected) == ([0, 7, 8], [0, 30])


async def test_a_write_waits_for_one_that_is_on_its_way_through_the_cluster():
    key, overwriting = Key(None, None, 5, 5), Overwriting(PATIENT)
    assert await overwriting.write("k", key.write) == 6
    assert key.expected == [0, 0, 0, 5]


async def test_a_key_that_others_keep_writing_to_is_unavailable_in_time():
    key, overwriting = Key(None), Overwriting(timedelta(seconds=0.2))
    with pytest.raises(errors.BusUnavailable, match=r"k: not written within 0\.2 s"):
        async with asyncio.timeout(5):
            await overwriting.write("k", key.write)


async def test_what_went_wrong_otherwise_is_told_as_it_is():
    async def full(_: int) -> int:
        raise errors.BucketFull("full")

    with pytest.raises(errors.BucketFull):
        await Overwriting(PATIENT).write("k", full)
