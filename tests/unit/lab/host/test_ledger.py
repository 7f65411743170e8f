"""`lab.host.ledger`: what is written before a creation is found again, whatever happened since."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.host import ledger
from lab.host.ledger import Entry, Kind, Ledger

NAMES = st.sampled_from(["a", "b", "c"])
LINES = st.lists(
    st.builds(
        lambda op, name: {"op": op, "kind": "link", "name": name, "facts": {}},
        st.sampled_from(["intend", "note", "forget"]),
        NAMES,
    )
)


@pytest.fixture
def book(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "ledger.jsonl")


def test_what_was_intended_may_be_there(book: Ledger):
    book.intend(Kind.LINK, "fl1", mark="m")

    assert Ledger(book.path).entries() == (Entry(Kind.LINK, "fl1", {"mark": "m"}),)


def test_a_note_adds_facts_to_what_was_intended(book: Ledger):
    book.intend(Kind.PROCESS, "etcd", nonce="n")
    book.note(Kind.PROCESS, "etcd", pid=7)

    entry = book.find(Kind.PROCESS, "etcd")

    assert entry is not None
    assert entry.facts == {"nonce": "n", "pid": 7}


def test_what_was_forgotten_is_not_there(book: Ledger):
    book.intend(Kind.LINK, "fl1")
    book.forget(Kind.LINK, "fl1")

    assert book.entries() == ()


def test_a_line_torn_by_a_power_loss_spoils_neither_those_before_nor_after_it(book: Ledger):
    book.intend(Kind.LINK, "fl1")
    with book.path.open("ab") as file:
        file.write(b'{"op": "intend", "kind": "li')

    book.intend(Kind.LINK, "fl2")

    assert [entry.name for entry in book.entries()] == ["fl1", "fl2"]


def test_a_ledger_that_was_never_written_is_empty(book: Ledger):
    assert book.entries() == ()


@given(LINES)
def test_a_thing_may_be_there_from_its_intention_until_it_is_forgotten(lines):
    there = {entry.name for entry in ledger.fold(iter(lines))}

    for name in ("a", "b", "c"):
        words = [line["op"] for line in lines if line["name"] == name and line["op"] != "note"]
        assert (name in there) == (words[-1:] == ["intend"])


def test_undoing_goes_backwards_and_forgets(book: Ledger):
    for name in ("first", "second", "third"):
        book.intend(Kind.LINK, name)
    undone: list[str] = []

    left = ledger.undo(book, {Kind.LINK: lambda entry: undone.append(entry.name)})

    assert (undone, left, book.entries()) == (["third", "second", "first"], (), ())


def test_what_cannot_be_undone_stays_in_the_ledger_and_stops_nothing(book: Ledger):
    for name in ("first", "stuck", "third"):
        book.intend(Kind.LINK, name)

    def undo(entry: Entry) -> None:
        if entry.name == "stuck":
            raise OSError("busy")

    left = ledger.undo(book, {Kind.LINK: undo})

    assert [(entry.entry.name, str(entry.error)) for entry in left] == [("stuck", "busy")]
    assert [entry.name for entry in book.entries()] == ["stuck"]


def test_lanes_are_undone_side_by_side_between_what_is_older_and_newer(book: Ledger):
    lanes = [Ledger(book.path, lane=name) for name in ("dev-01", "dev-02")]
    book.intend(Kind.LINK, "bridge")
    for thing in ("cable", "agent"):
        for lane in lanes:
            lane.intend(Kind.LINK, f"{thing} {lane.lane}")
    book.intend(Kind.LINK, "operator")
    undone: list[str] = []
    both = threading.Barrier(2)

    def undo(entry: Entry) -> None:
        if entry.lane:
            both.wait(10)
        undone.append(entry.name)

    assert ledger.undo(book, {Kind.LINK: undo}) == ()

    assert (undone[0], undone[-1]) == ("operator", "bridge")
    for lane in lanes:
        own = [name for name in undone if name.endswith(lane.lane)]
        assert own == [f"agent {lane.lane}", f"cable {lane.lane}"]


@given(st.lists(st.sampled_from(["", "a", "b"])))
def test_no_thing_is_undone_before_a_newer_one_of_its_lane_or_of_none(lanes: list[str]):
    entries = [Entry(Kind.LINK, str(n), {}, lane) for n, lane in enumerate(lanes)]
    when = {
        entry.name: (at, place)
        for at, group in enumerate(ledger.side_by_side(entries))
        for lane in group
        for place, entry in enumerate(lane)
    }

    assert len(when) == len(entries)
    for n, first in enumerate(entries):
        for second in entries[n + 1 :]:
            if first.lane == second.lane:
                assert when[first.name] < when[second.name]
            elif "" in (first.lane, second.lane):
                assert when[first.name][0] < when[second.name][0]


def test_every_line_is_one_json_object(book: Ledger):
    book.intend(Kind.FIREWALL, "fleet_1")
    book.forget(Kind.FIREWALL, "fleet_1")

    lines = book.path.read_text().splitlines()

    assert [json.loads(line)["op"] for line in lines] == ["intend", "forget"]
