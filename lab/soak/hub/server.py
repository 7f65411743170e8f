"""One nats-server process: started, frozen, killed and started again on its port and store."""

import os
import signal
import socket
import subprocess
from pathlib import Path

from lab.errors import PartDied
from lab.system import waiting
from lab.system.programs import program

_START_SECONDS = 30
_LOOK_EVERY = 0.02
_TAIL = 2000


class Server:
    """The server of one configuration file. Kill it before its directory goes."""

    def __init__(self, config: Path, port: int) -> None:
        self.config = config
        self.port = port
        self.log = config.with_suffix(".log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Start, and wait until clients are greeted.

        :raises LabError: it doesn't.
        """
        argv = [program("nats-server"), "-c", str(self.config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        waiting.wait_for(
            "nats-server greets",
            self._missing,
            within=_START_SECONDS,
            every=_LOOK_EVERY,
            check=self._check,
        )

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Freeze it: connections stand, and nothing is answered."""
        if self._process:
            os.kill(self._process.pid, signal.SIGSTOP)
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)  # its threads run on for a moment

    def resume(self) -> None:
        """Have it go on."""
        if self._process:
            os.kill(self._process.pid, signal.SIGCONT)

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(timeout=_START_SECONDS)
            self._process = None

    def _missing(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
            return "" if probe.recv(4) == b"INFO" else "no greeting"

    def _check(self) -> None:
        if self._process is None or self._process.poll() is not None:
            raise PartDied(f"nats-server ended\n{self.log.read_text()[-_TAIL:]}", log=self.log)
