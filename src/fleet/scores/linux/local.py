"""The machine that we are on: the adapter of `machine.Machine` by subprocess."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from fleet import errors
from fleet.scores.linux import bounding
from fleet.scores.linux.machine import WITHIN, Answer, Machine


@dataclass(frozen=True, slots=True)
class LocalMachine(Machine):
    """
    Runs programs here, as root: by ``sudo -n`` when we aren't.

    A program gets no environment but a PATH, and `C` for its language.
    """

    name: str = "this machine"
    clock: Callable[[], float] = time.monotonic

    @property
    def libvirt(self) -> str:
        """See `machine.Machine`."""
        return "qemu:///system"

    def ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        """See `machine.Machine`."""
        is_root = os.geteuid() == 0
        command = bounding.bounded(argv, within=within, is_root=is_root)
        started = self.clock()
        answer = self._answer(command, argv, stdin=stdin, within=within)
        took = self.clock() - started
        return bounding.judge(self.name, argv, answer, within=within, took=took, is_root=is_root)

    def _answer(
        self, command: tuple[str, ...], argv: tuple[str, ...], *, stdin: bytes, within: float
    ) -> Answer:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            what = f"{self.name}: `{argv[0]}` can't be started: {exc.strerror or exc}"
            raise errors.CommandFailed(what, element=argv[0]) from exc
        with process:
            try:
                out, err = process.communicate(stdin, timeout=within + bounding.GRACE)
            except subprocess.TimeoutExpired as exc:
                raise bounding.late(self.name, argv, within) from exc
            finally:
                _end(process)
        return Answer(process.returncode, out, err)


def _end(process: "subprocess.Popen[bytes]") -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
