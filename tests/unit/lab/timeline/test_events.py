"""`lab.timeline.events`: what is written is read again, and what was torn says nothing."""

from pathlib import Path

from lab.timeline import events
from lab.timeline.events import Event


def event(at: float) -> Event:
    """One score that ended at *at*."""
    return Event(at=at, stage="devices", score="s", lane="d0", seconds=2, change="changed")


def test_what_ended_since_is_read_in_order(tmp_path: Path):
    path = tmp_path / "logs" / events.NAME
    for at in (1, 5, 9):
        events.append(path, event(at))

    assert events.since(path, 5) == (event(5), event(9))
    assert event(5).begun == 3


def test_a_line_that_was_torn_says_nothing(tmp_path: Path):
    path = tmp_path / events.NAME
    events.append(path, event(1))
    with path.open("ab") as file:
        file.write(b'{"at": 2, "sta\n[]\n\xff\n')
    events.append(path, event(3))

    assert events.since(path, 0) == (event(1), event(3))


def test_no_file_is_no_events(tmp_path: Path):
    assert events.since(tmp_path / events.NAME, 0) == ()
