"""
What is kept of a test that failed: what the lab and its devices last said.

The ends go to the report as sections, more to files in the run's directory. What can't be had says
why: evidence never hides a failure.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.plugin.devices import Device, Lab
from lab.plugin.port import Status

PREFIX = "lab: "
_SHOWN = 25  # lines in a report
_KEPT = 5000  # lines in a file
_MOST_DEVICES = 4  # are looked at where the test leased none
_WITHIN = 20


@dataclass(frozen=True, slots=True)
class Piece:
    """One thing worth reading."""

    title: str
    text: str

    def end(self, lines: int) -> str:
        """Return the last *lines*."""
        return "\n".join(self.text.splitlines()[-lines:])


def attach(lab: Lab, directory: Path, test: str) -> tuple[tuple[str, str], ...]:
    """Keep what there is in files beneath *directory*, and return the sections for the report."""
    where = _own(directory / "failures" / slug(test))
    pieces = tuple(gather(lab))
    for piece in pieces:
        text = piece.end(_KEPT) + "\n"
        (where / f"{slug(piece.title)}.txt").write_text(text, encoding="utf-8", errors="replace")
    return (
        *((PREFIX + piece.title, piece.end(_SHOWN)) for piece in pieces),
        (PREFIX + "files", str(where)),
    )


def gather(lab: Lab) -> Iterator[Piece]:
    """Yield each thing worth reading: of the devices that the test holds, or else of the first."""
    try:
        status = lab.look()
    except Exception as exc:
        yield Piece("status", _why(exc))
        status = lab.status
    else:
        yield Piece("status", "\n".join((f"stage: {status['stage']}", *status["problems"])))
    logs = Path(status["paths"]["logs"])
    for device in tuple(lab.leased.values()) or lab.devices[:_MOST_DEVICES]:
        yield from _of_device(device, _told(status, device.id), logs)
    yield from _logs("operator", [logs / "operator.log"])


def _own(wanted: Path) -> Path:
    """Make a directory that no other failure has: of the same test, or one that reads like it."""
    for number in itertools.count(2):
        try:
            wanted.mkdir(parents=True)
        except FileExistsError:
            wanted = wanted.with_name(f"{wanted.name.removesuffix(f'-{number - 1}')}-{number}")
        else:
            break
    return wanted


def slug(text: str) -> str:
    """Return *text* as the name of a file."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.replace("::", "--")).strip("-.")[:150] or "-"


def _of_device(device: Device, told: Mapping[str, Any], logs: Path) -> Iterator[Piece]:
    yield _tried(f"fleet-agent status of {device.id}", lambda: _asked(device, "fleet-agent status"))
    if device.backend != "host":
        journal = "journalctl --no-pager --lines 400"
        yield _tried(f"journal of {device.id}", lambda: _asked(device, journal))
    found = [logs / f"{part}-{device.id}.log" for part in ("agent", "podman")]
    yield from _logs(device.id, found)
    if "serial" in told:
        yield from _logs(f"serial of {device.id}", [Path(told["serial"])])


def _asked(device: Device, command: str) -> str:
    answer = device.ask(*command.split(), within=_WITHIN)
    return answer.out + answer.err


def _logs(title: str, paths: Iterable[Path]) -> Iterator[Piece]:
    for path in paths:
        if path.exists() and path.stat().st_size:
            name = title if path.stem in title else f"{title}, {path.name}"
            yield _tried(name, functools.partial(path.read_text, errors="replace"))


def _told(status: Status, device: str) -> Mapping[str, Any]:
    return next((each for each in status["devices"] if each["id"] == device), {})


def _tried(title: str, look: Callable[[], str]) -> Piece:
    try:
        return Piece(title, look())
    except Exception as exc:
        return Piece(title, _why(exc))


def _why(exc: Exception) -> str:
    return f"not to be had: {type(exc).__name__}: {exc}"
