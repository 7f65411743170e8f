"""
Reads a machine's serial log: how far it has booted, and whether it has gone wrong. Decides only.

The kernel, systemd and cloud-init write to the console; what they say there is all that a machine
tells before it has a network, and the evidence when it never gets one.
"""

import enum
import re
from dataclasses import dataclass

LAST_WORDS = 12

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
_PANIC = re.compile(
    r"Kernel panic - not syncing.*|BUG: unable to handle.*|No working init found.*"
    r"|ALERT! .* does not exist.*|You are in emergency mode.*|Give root password for maintenance.*"
)
_SET_UP_FAILED = re.compile(r"fleet-setup: FAILED.*")
_CLOUD_INIT_FAILED = re.compile(
    r"cloud-init\[\d+\]: .*(?:Traceback|(?:CRITICAL|ERROR)\b).*|Failed to start .*cloud-init.*"
    r"|Failed to start .*Cloud-init.*"
)
_KERNEL = re.compile(r"Linux version |Booting Linux|systemd\[1\]|Welcome to |\[ +\d+\.\d+\]")
_SET_UP = re.compile(r"fleet-setup: done")
_CLOUD_INIT = re.compile(r"[Cc]loud-init v?\.? ?\S+ finished")


class Fault(enum.StrEnum):
    """What a serial log may tell of a boot that has failed."""

    PANIC = "panic"
    CLOUD_INIT = "cloud-init failed"
    SET_UP = "set-up failed"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log says so far. *fault* comes with *words*, the line that says so."""

    kernel: bool = False
    cloud_init: bool = False
    set_up: bool = False
    fault: Fault | None = None
    words: str = ""


def read(log: bytes) -> Reading:
    """Read what the console has said since power on."""
    text = plain(log)
    fault, words = _fault(text)
    return Reading(
        kernel=_KERNEL.search(text) is not None,
        cloud_init=_CLOUD_INIT.search(text) is not None,
        set_up=_SET_UP.search(text) is not None,
        fault=fault,
        words=words,
    )


def last_words(log: bytes, lines: int = LAST_WORDS) -> str:
    """Return the last lines that say anything."""
    spoken = [line for line in plain(log).splitlines() if line.strip()]
    return "\n".join(spoken[-lines:]) or "(nothing on the serial console)"


def plain(log: bytes) -> str:
    """Return a log as text, without the colours of a terminal."""
    return _ESCAPES.sub("", log.decode(errors="replace"))


def _fault(text: str) -> tuple[Fault | None, str]:
    for fault, pattern in (
        (Fault.PANIC, _PANIC),
        (Fault.SET_UP, _SET_UP_FAILED),
        (Fault.CLOUD_INIT, _CLOUD_INIT_FAILED),
    ):
        if found := pattern.search(text):
            return fault, found[0].strip()
    return None, ""
