"""Coalesced keys: each once, a while after its first change, a few at a time."""

from fleet.operator.decisions.coalescing import CoalescedKeys, Coalescing


def test_a_key_that_keeps_changing_is_handed_over_once_in_a_while():
    keys: CoalescedKeys[str] = CoalescedKeys(Coalescing(settle=5, portion=10))
    taken = []
    for second in range(20):
        keys.add(["a"], second)
        taken.append(keys.take(second, is_busy=False))
    assert [second for second, found in enumerate(taken) if found] == [5, 11, 17]


def test_a_crowd_is_handed_over_in_portions_those_first_that_changed_first():
    keys: CoalescedKeys[int] = CoalescedKeys(Coalescing(settle=1, portion=3))
    keys.add(range(5), 0)
    keys.add([9], 1)
    keys.add([0], 1)
    assert keys.take(0.5, is_busy=False) == ()
    assert [keys.take(2, is_busy=False) for _ in range(3)] == [(0, 1, 2), (3, 4, 9), ()]


def test_while_others_wait_for_work_a_few_are_handed_over_and_none_for_ever():
    keys: CoalescedKeys[int] = CoalescedKeys(Coalescing(settle=0, portion=50, beside=2))
    keys.add(range(5), 0)
    taken = [keys.take(0, is_busy=True), keys.take(0, is_busy=True), keys.take(0, is_busy=False)]
    assert taken == [(0, 1), (2, 3), (4,)]


def test_of_a_large_crowd_larger_portions_are_handed_over():
    keys: CoalescedKeys[int] = CoalescedKeys(Coalescing(settle=0, portion=3, share=60))
    keys.add(range(600), 0)
    assert len(keys.take(0, is_busy=False)) == 10
