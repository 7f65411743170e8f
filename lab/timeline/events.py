"""What came of each score of `lab.up`, one line of JSON each, in ``$STATE/logs/events.jsonl``."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

NAME = "events.jsonl"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One score: it ended at *at*, by the clock of day, after *seconds*."""

    at: float
    stage: str
    score: str
    lane: str = ""
    seconds: float
    change: str
    why: str = ""

    @property
    def begun(self) -> float:
        """Return when it began."""
        return self.at - self.seconds


def append(path: Path, event: Event) -> None:
    """Add *event* to the file, in one write: two commands may add to it at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab", buffering=0) as file:
        file.write(msgspec.json.encode(event) + b"\n")


def since(path: Path, begun: float) -> tuple[Event, ...]:
    """Read what ended after *begun*; a line that was torn says nothing."""
    return tuple(event for event in _read(path) if event.at >= begun)


def _read(path: Path) -> Iterator[Event]:
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Event)
        except msgspec.MsgspecError:
            continue
