"""
A machine over SSH: the adapter of `machine.Machine` by paramiko.

One connection is kept, and opened anew when it is gone: before a program starts, never in the
middle of one, since nobody can tell how far it came. Where the user isn't root, programs run by
``sudo -n``. The login's shell must be one of POSIX: SSH hands it what we ask for, quoted.
"""

import contextlib
import dataclasses
import shlex
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import paramiko

from fleet import errors
from fleet.scores.linux import bounding, login
from fleet.scores.linux.login import Login
from fleet.scores.linux.machine import WITHIN, Answer, Machine

_SIGNALLED = range(129, 160)  # a shell's word for a program that a signal ended
_BLOCK = 65536


class SshMachine(Machine):
    """A machine that answers over SSH. Close it, or use it in a `with` statement."""

    def __init__(self, to: Login, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._login = to
        self._clock = clock
        self._client: paramiko.SSHClient | None = None
        self._opening = threading.Lock()

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        user: str,
        key: Path | None = None,
        password: str | None = None,
        known_hosts: Path,
        port: int = login.PORT,
        within: float = login.WITHIN,
    ) -> Self:
        """
        Log in to *address*, and return the machine there.

        :raises errors.MachineUnreachable: it doesn't answer within *within* seconds.
        :raises errors.HostKeyChanged: *known_hosts* has no key for it, or another.
        :raises errors.LoginRefused: it takes neither the key nor the password.
        :raises errors.InvalidConfig: the key or *known_hosts* can't be used.
        """
        machine = cls(Login(address, user, known_hosts, key, password, port, within))
        with machine._opening:
            machine._connected()
        return machine

    @property
    def name(self) -> str:
        """Name the login, as a user of `ssh` would."""
        return str(self._login)

    @property
    def libvirt(self) -> str:
        """See `machine.Machine`."""
        return self._login.libvirt()

    def ask(self, *argv: str, stdin: bytes = b"", within: float = WITHIN) -> Answer:
        """See `machine.Machine`."""
        is_root = self._login.user == "root"
        command = bounding.bounded(argv, within=within, is_root=is_root)
        channel = self._channel()
        started = self._clock()
        with contextlib.closing(channel):
            answer = self._answer(channel, command, argv, stdin=stdin, within=within)
        took = self._clock() - started
        return bounding.judge(self.name, argv, answer, within=within, took=took, is_root=is_root)

    def close(self) -> None:
        """End the connection; the next program opens another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _channel(self) -> paramiko.Channel:
        with self._opening:
            try:
                return self._opened()
            except (paramiko.SSHException, EOFError, OSError):
                self.close()  # it broke since the last program: the machine rebooted, say
            try:
                return self._opened()
            except (paramiko.SSHException, EOFError, OSError) as exc:
                raise self._unreachable(exc) from exc

    def _opened(self) -> paramiko.Channel:
        return self._connected().open_session(timeout=self._login.within)

    def _connected(self) -> paramiko.Transport:
        transport = None if self._client is None else self._client.get_transport()
        if transport is not None and transport.is_active():
            return transport
        self.close()
        self._client = login.log_in(self._login)
        transport = self._client.get_transport()
        if transport is None:
            raise self._unreachable("it broke off at once")
        return transport

    def _answer(
        self,
        channel: paramiko.Channel,
        command: tuple[str, ...],
        argv: tuple[str, ...],
        *,
        stdin: bytes,
        within: float,
    ) -> Answer:
        try:
            # The shell at the other end stays, to tell of a signal: paramiko drops that message.
            channel.exec_command(f"{shlex.join(command)}; exit $?".encode(errors="surrogateescape"))
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise self._unreachable(exc) from exc
        answer = self._exchange(channel, stdin, within=within + bounding.GRACE)
        if answer is None:
            raise self._unreachable(f"`{argv[0]}` wasn't over after {within:g} s, nor ended there")
        if answer.code < 0:
            raise self._unreachable(f"the connection broke while `{argv[0]}` ran")
        code = answer.code
        return dataclasses.replace(answer, code=128 - code if code in _SIGNALLED else code)

    def _exchange(self, channel: paramiko.Channel, stdin: bytes, *, within: float) -> Answer | None:
        with futures.ThreadPoolExecutor(4) as pool:
            out = pool.submit(_read, channel.recv)
            err = pool.submit(_read, channel.recv_stderr)
            code = pool.submit(channel.recv_exit_status)
            parts: list[futures.Future[Any]] = [pool.submit(_send, channel, stdin), out, err, code]
            try:
                late = futures.wait(parts, timeout=within).not_done
            except BaseException:
                self.close()  # which ends the four, or leaving would wait for them
                raise
            if late:
                self.close()
        return None if late else Answer(code.result(), out.result(), err.result())

    def _unreachable(self, why: object) -> errors.MachineUnreachable:
        said = str(why) or type(why).__name__
        return errors.MachineUnreachable(f"{self.name}: {said}", element=self.name)


def _send(channel: paramiko.Channel, stdin: bytes) -> None:
    with contextlib.suppress(OSError):  # a program may end before it has read everything
        channel.sendall(stdin)
        channel.shutdown_write()


def _read(receive: Callable[[int], bytes]) -> bytes:
    return b"".join(iter(lambda: receive(_BLOCK), b""))
