"""
What on this host is ours: an append-only journal, written *before* each creation.

`intend` comes first, then the thing is made, then `note` adds what only the making could tell (a
pid). So after `kill -9` at any instant, the ledger names everything that may exist, and some things
that don't: who undoes an entry must be content with a half-made thing, or none. `forget` follows
the undoing. Nothing that the ledger does not name is ever removed.

One JSON object a line, each fsynced: ``{"op": "intend", "kind": "link", "name": …, "facts": {…}}``,
with a ``lane`` where the thing was made side by side with others. A torn last line (power loss
within a write) is dropped: what it spoke of was not begun yet.
"""

import enum
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

_UNDOING_AT_ONCE = 2 * (os.cpu_count() or 1)  # half of undoing is waiting for something to end
_lock = threading.Lock()  # every lane of a process has a `Ledger`, and all the same file


class Kind(enum.StrEnum):
    """Kinds of things the lab makes; each has one way to undo it (`lab.undoing`)."""

    PROCESS = "process"
    NAMESPACE = "namespace"
    LINK = "link"
    MOUNT = "mount"
    FIREWALL = "firewall"
    SYSCTL = "sysctl"
    DIRECTORY = "directory"
    CGROUP = "cgroup"
    CONTAINERS = "container-store"
    DOMAIN = "machine"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is, or may be, there because of us."""

    kind: Kind
    name: str
    facts: Mapping[str, Any]
    lane: str = ""


class Ledger:
    """The journal of one lab, at *path*, as one *lane* of it writes it."""

    def __init__(self, path: Path, lane: str = "") -> None:
        self.path = path
        self.lane = lane

    def intend(self, kind: Kind, name: str, **facts: Any) -> Entry:
        """Write down that *name* is about to be made. Keeps the older facts of the same thing."""
        lane = {"lane": self.lane} if self.lane else {}
        self._append({"op": "intend", "kind": kind, "name": name, "facts": facts, **lane})
        return Entry(kind, name, facts, self.lane)

    def note(self, kind: Kind, name: str, **facts: Any) -> None:
        """Add facts to something intended before."""
        self._append({"op": "note", "kind": kind, "name": name, "facts": facts})

    def forget(self, kind: Kind, name: str) -> None:
        """Write down that *name* is gone."""
        self._append({"op": "forget", "kind": kind, "name": name})

    def entries(self) -> tuple[Entry, ...]:
        """Return what may be there, oldest intention first."""
        with _lock:
            return fold(_read(self.path))

    def find(self, kind: Kind, name: str) -> Entry | None:
        """Return the entry of that *kind* and *name*, if it may be there."""
        return next((e for e in self.entries() if e.kind is kind and e.name == name), None)

    def of(self, kind: Kind) -> tuple[Entry, ...]:
        """Return the entries of one kind, oldest first."""
        return tuple(e for e in self.entries() if e.kind is kind)

    def _append(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line, sort_keys=True).encode() + b"\n"
        with _lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, _mend(fd) + data)
                os.fsync(fd)
            finally:
                os.close(fd)


def fold(lines: Iterator[Mapping[str, Any]]) -> tuple[Entry, ...]:
    """Replay *lines* into what may be there now, oldest intention first."""
    found: dict[tuple[str, str], Entry] = {}
    for line in lines:
        key = (line["kind"], line["name"])
        match line["op"]:
            case "intend" | "note" if key in found:
                merged = {**found[key].facts, **line["facts"]}
                found[key] = replace(found[key], facts=merged)
            case "intend":
                found[key] = Entry(
                    Kind(line["kind"]), line["name"], line["facts"], line.get("lane", "")
                )
            case "forget":
                found.pop(key, None)
            case _:  # a later version's word: what it made, it must undo
                continue
    return tuple(found.values())


@dataclass(frozen=True, slots=True)
class Left:
    """An entry that could not be undone, and why."""

    entry: Entry
    error: Exception


def undo(
    ledger: Ledger,
    undoers: Mapping[Kind, Callable[[Entry], None]],
    *,
    telling: Callable[[Entry], None] = lambda _: None,
) -> tuple[Left, ...]:
    """
    Undo every entry, newest first. One that fails stays in the ledger, and stops no other.

    Lanes are undone side by side; what belongs to none waits for all that is newer.
    """
    left: list[Left] = []
    speaking = threading.Lock()

    def undo_lane(entries: Iterable[Entry]) -> None:
        for entry in entries:
            with speaking:
                telling(entry)
            try:
                undoers[entry.kind](entry)
            except Exception as exc:
                left.append(Left(entry, exc))
            else:
                ledger.forget(entry.kind, entry.name)

    with ThreadPoolExecutor(_UNDOING_AT_ONCE, "undo") as pool:
        for lanes in side_by_side(reversed(ledger.entries())):
            for _ in pool.map(undo_lane, lanes):
                pass
    return tuple(left)


def side_by_side(entries: Iterable[Entry]) -> Iterator[tuple[tuple[Entry, ...], ...]]:
    """Part *entries* into groups of lanes: groups come in order, and entries within their lane."""
    group: dict[str, list[Entry]] = {}
    for entry in entries:
        if group and (not entry.lane or "" in group):
            yield tuple(map(tuple, group.values()))
            group = {}
        group.setdefault(entry.lane, []).append(entry)
    if group:
        yield tuple(map(tuple, group.values()))


def _read(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:  # torn by a power loss, or the empty rest after the last newline
            continue


def _mend(fd: int) -> bytes:
    """End a torn last line, so that the next record stands on its own."""
    size = os.fstat(fd).st_size
    return b"" if size == 0 or os.pread(fd, 1, size - 1) == b"\n" else b"\n"
