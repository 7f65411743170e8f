"""Presence: who is heard, who is silent, and when nobody may say so."""

from fleet.contracts.names import DeviceId
from fleet.operator.model.presence import Hearing, Presence
from tests.unit.operator.making import at

D1, D2 = DeviceId("d1"), DeviceId("d2")


def listening(presence: Presence, until: int, since: int = 0) -> None:
    """Say every second that heartbeats arrive."""
    for second in range(since, until + 1):
        presence.listen(at(second))


def overdue(presence: Presence, seconds: float) -> list[DeviceId]:
    return list(presence.overdue(at(seconds)))


def test_a_heartbeat_is_a_sign_of_life():
    presence = Presence()
    presence.hear(D1, at(0), at(1))
    assert presence.hearing(D1) is Hearing.HEARD
    assert presence.last_heard(D1) == at(0)


def test_an_old_heartbeat_that_is_replayed_is_none():
    presence = Presence()
    presence.hear(D1, at(0), at(31))
    assert presence.hearing(D1) is Hearing.AWAITED
    assert presence.last_heard(D1) is None


def test_silence_is_longer_than_the_interval():
    presence = Presence()
    presence.hear(D1, at(10), at(10))
    listening(presence, 41)
    assert overdue(presence, 40) == []
    assert overdue(presence, 40.1) == [D1]


def test_a_device_that_was_never_heard_is_awaited_for_the_interval():
    presence = Presence()
    presence.expect(D1, at(5), silent=False)
    listening(presence, 36)
    assert overdue(presence, 35) == []
    assert overdue(presence, 36) == [D1]


def test_what_was_said_to_be_silent_stays_so_until_it_is_heard():
    presence = Presence()
    presence.expect(D1, at(0), silent=True)
    assert presence.hearing(D1) is Hearing.SILENT
    presence.hear(D1, at(1), at(1))
    presence.expect(D1, at(2), silent=True)
    assert presence.hearing(D1) is Hearing.HEARD


def test_nobody_is_overdue_before_a_whole_interval_of_listening():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    listening(presence, since=20, until=49)
    assert overdue(presence, 49) == []
    presence.listen(at(50))
    assert overdue(presence, 50) == [D1]


def test_deafness_starts_the_interval_over():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    listening(presence, 29)
    presence.deafen()
    assert overdue(presence, 60) == []
    listening(presence, since=60, until=89)
    assert overdue(presence, 89) == []
    presence.listen(at(90))
    assert overdue(presence, 90) == [D1]


def test_who_says_too_rarely_that_it_listens_was_deaf():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    listening(presence, 29)
    presence.listen(at(100))  # the process, or its server, was stopped
    assert overdue(presence, 100) == []


def test_the_silent_are_told_once_and_in_the_order_of_their_silence():
    presence = Presence()
    presence.hear(D2, at(0), at(0))
    presence.hear(D1, at(1), at(1))
    listening(presence, 40)
    assert overdue(presence, 40) == [D2, D1]
    presence.silence(D2)
    assert overdue(presence, 40) == [D1]
    assert presence.hearing(D2) is Hearing.SILENT


def test_who_is_heard_again_is_not_overdue():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    presence.hear(D2, at(5), at(5))
    presence.hear(D1, at(30), at(30))
    listening(presence, 40)
    assert overdue(presence, 40) == [D2]


def test_the_forgotten_are_awaited_no_longer():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    presence.forget(D1)
    listening(presence, 40)
    assert overdue(presence, 40) == []


def test_a_silent_device_was_last_heard_by_its_last_heartbeat():
    presence = Presence()
    presence.hear(D1, at(0), at(0))
    presence.hear(D1, at(10), at(10))
    presence.silence(D1)
    assert presence.last_heard(D1) == at(10)
    presence.forget(D1)
    assert presence.last_heard(D1) is None


def test_who_is_expected_is_awaited_and_not_said_to_be_silent():
    presence = Presence()
    presence.expect(D1, at(0), silent=False)
    assert presence.hearing(D1) is Hearing.AWAITED
