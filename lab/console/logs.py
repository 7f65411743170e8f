"""Shows the logs of a lab's parts; they outlive the lab."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from lab.errors import NothingThere

_LINES = 20


def parts(logs: Path) -> tuple[str, ...]:
    """Return the names of the parts that have a log."""
    return tuple(sorted(path.stem for path in logs.glob("*.log")))


def choose(logs: Path, part: str) -> tuple[Path, ...]:
    """Return the logs to show: that of *part*, or all."""
    there = parts(logs)
    if not there:
        raise NothingThere(f"there are no logs in {logs}", hint="invoke lab.up")
    if part and part not in there:
        raise NothingThere(f"no part {part!r} has a log", hint=f"there are {', '.join(there)}")
    return tuple(logs / f"{name}.log" for name in ([part] if part else there))


def last_lines(path: Path, lines: int = _LINES) -> Sequence[str]:
    """Return the last *lines* of a log."""
    return path.read_text(errors="replace").splitlines()[-lines:]


def show(paths: Sequence[Path], out: TextIO) -> None:
    """Print the end of one log as it is, or of several, each line after its part's name."""
    for path in paths:
        for line in (
            last_lines(path) if len(paths) > 1 else path.read_text(errors="replace").splitlines()
        ):
            print(_labelled(path, line, paths), file=out)


def follow(
    paths: Sequence[Path], out: TextIO, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Print what is added to the logs, until interrupted."""
    at = {path: path.stat().st_size for path in paths}
    with contextlib.suppress(KeyboardInterrupt):  # there is no other end
        while True:
            for path in paths:
                for line in _added(path, at):
                    print(_labelled(path, line, paths), file=out, flush=True)
            sleep(0.3)


def _added(path: Path, at: dict[Path, int]) -> Iterator[str]:
    with path.open("rb") as file:
        file.seek(at[path])
        for raw in file:
            if not raw.endswith(b"\n"):
                break
            at[path] += len(raw)
            yield raw.decode(errors="replace").rstrip("\n")


def _labelled(path: Path, line: str, paths: Sequence[Path]) -> str:
    return f"{path.stem}: {line}" if len(paths) > 1 else line
