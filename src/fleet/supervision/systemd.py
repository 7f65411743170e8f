"""
What a service tells systemd, by the protocol of sd_notify(3): that it is ready, and that it lives.

The watchdog is armed by the process itself (`WATCHDOG_USEC`), unless the unit has armed it: an
older version of the process, started by the same unit, knows nothing of it and isn't killed.
Without `NOTIFY_SOCKET` (another service manager, an older unit) nothing is said.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final, Self

WATCHDOG_SECONDS: Final = 90.0


class Notifier:
    """Sends notifications to *address*; "" sends none. Sending never blocks and never raises."""

    def __init__(self, address: str, *, is_armed: bool = False) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_armed = is_armed

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read how systemd wants to be notified, if it does."""
        return cls(environment.get("NOTIFY_SOCKET", ""), is_armed="WATCHDOG_USEC" in environment)

    def arm(self, seconds: float = WATCHDOG_SECONDS) -> None:
        """Ask to be killed where `alive` isn't said for so long."""
        if not self._is_armed:
            self._send(f"WATCHDOG_USEC={round(seconds * 1e6)}")
        self.alive()

    def ready(self) -> None:
        """Say that the service has started."""
        self._send("READY=1")

    def alive(self) -> None:
        """Say that the event loop turns."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Say that the service ends, in order."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, kind) as sender:
            sender.sendto(message.encode(), self._address)
