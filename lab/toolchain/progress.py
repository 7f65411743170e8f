"""Runs a long command and tells every few seconds how far it is."""

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

Say = Callable[[str], None]

HEARTBEAT = 10  # seconds: more often is noise in a CI log, less looks like a hang
_KEPT = 200  # lines, for the error


@dataclass(slots=True)
class _Heard:
    """The last lines of an output, and how many there were."""

    count: int = 0
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=_KEPT))

    def listen(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            self.count += 1
            self.tail.append(line.rstrip())


def follow(
    command: Sequence[str],
    *,
    name: str,
    say: Say,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    every: float = HEARTBEAT,
) -> tuple[int, str]:
    """Run *command* to its end; return its exit status and the end of what it printed."""
    begin = time.monotonic()
    heard = _Heard()
    with subprocess.Popen(
        command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        listener = threading.Thread(target=heard.listen, args=(process,), daemon=True)
        listener.start()
        try:
            while listener.is_alive():
                listener.join(every)
                if listener.is_alive():
                    say(_beat(name, time.monotonic() - begin, heard))
        except BaseException:
            process.kill()
            raise
    return process.returncode, "\n".join(heard.tail)


def elapsed(seconds: float) -> str:
    """Write a duration the way people read it."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _beat(name: str, seconds: float, heard: _Heard) -> str:
    latest = f", {heard.count} steps, now {heard.tail[-1]}" if heard.tail else ""
    return f"{name}: {elapsed(seconds)}{latest}"
