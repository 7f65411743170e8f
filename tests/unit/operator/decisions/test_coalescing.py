"""Coalesced keys: each once, a while after its first change, a few at a time."""

from fleet.operator.decisions.coalescing import CoalescedKeys, Coalescing


def test_a_key_that_keeps_changing_is_handed_over_once_in_a_while():
    keys: CoalescedKeys[str] = CoalescedKeys(Coalescing(settle=5, portion=10))
    taken = []
    for second in range(20):
        keys.add(["a"], second)
        taken.append(keys.take(second))
    assert [second for second, found in enumerate(taken) if found] == [5, 11, 17]


def test_a_crowd_is_handed_over_in_portions_those_first_that_changed_first():
    keys: CoalescedKeys[int] = CoalescedKeys(Coalescing(settle=1, portion=3))
    keys.add(range(5), 0)
    keys.add([9], 1)
    keys.add([0], 1)
    assert keys.take(0.5) == ()
    assert [keys.take(2), keys.take(2), keys.take(2)] == [(0, 1, 2), (3, 4, 9), ()]
