"""Tombstones: what is gone stays gone, and the memory of it is bounded."""

from fleet.operator.model.tombstones import Tombstones


def test_what_is_gone_is_known_until_others_went_after_it():
    gone = Tombstones(limit=2)
    for uid in ("a", "b", "c"):
        gone.bury(uid)
    assert [uid in gone for uid in ("a", "b", "c")] == [False, True, True]


def test_what_is_there_all_the_same_is_not_gone():
    gone = Tombstones()
    gone.bury("a")
    gone.exhume("a")
    gone.exhume("never")
    assert "a" not in gone
