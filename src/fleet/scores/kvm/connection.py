"""
One connection to libvirt that comes back by itself, and holds nobody up; alone imports its binding.

The binding is a compiled extension that only hosts with libvirt have, so it is imported when a
connection is opened, never before. A connection that broke is opened again by the next call.

A daemon that hangs holds nobody up for good. Once connected, libvirt's own keep-alive notices: the
daemon answers it from its main loop, also while a call takes minutes, so no call needs a time limit
of its own. It takes libvirt's event loop, which a thread runs. Before that, while a connection is
being opened, nothing of libvirt's bounds the wait, so it is opened in a thread that can be left.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NoReturn
from urllib.parse import urlsplit

from fleet import errors

PATIENCE = 45.0  # a daemon that looks at every emulator first takes half as long when emulated
_PINGS = 2  # unanswered ones, at even distances, and the connection counts as broken
_loop = threading.Lock()
_looping: list[threading.Thread] = []


class Connection:
    """
    A connection to *uri*, opened by its first use. May be shared between threads.

    After *patience* seconds without a sign of life from libvirt it counts as not answering.
    """

    def __init__(self, uri: str, *, read_only: bool, patience: float) -> None:
        self.uri = uri
        self._read_only = read_only
        self._patience = patience
        self._lock = threading.Lock()
        self._connection: Any = None

    def close(self) -> None:
        """Close it; the next use would open another."""
        with self._lock:
            held, self._connection = self._connection, None
        if held is not None:
            with contextlib.suppress(binding().libvirtError):
                held.close()

    @contextlib.contextmanager
    def asking(self, element: str = "") -> Iterator[Any]:
        """
        Lend the connection, to ask about *element*.

        :raises errors.HypervisorUnavailable: nothing answers, or it broke off meanwhile.
        :raises errors.HypervisorRefused: libvirt says no, in its own words.
        """
        libvirt = binding()
        connection = self._opened()
        try:
            yield connection
        except libvirt.libvirtError as exc:
            if not _is_alive(connection):
                raise self._broken_off(exc) from exc
            message = f"{self.uri}: {exc.get_error_message()}"
            raise errors.HypervisorRefused(message, element=element) from exc

    def _opened(self) -> Any:
        libvirt = binding()
        with self._lock:
            if self._connection is not None and _is_alive(self._connection):
                return self._connection
            self._connection = None  # closed by its last user's leaving it
            opening = libvirt.openReadOnly if self._read_only else libvirt.open
            try:
                self._connection = _in_time(lambda: opening(self.uri), self._patience)
            except libvirt.libvirtError as exc:
                what = f"libvirt doesn't answer at {self.uri}: {_said(exc)}"
                raise self._unavailable(what) from exc
            except TimeoutError as exc:
                raise self._silent() from exc
            _keep_alive(self._connection, self._patience)
            return self._connection

    def _broken_off(self, exc: Any) -> errors.HypervisorUnavailable:
        said = _said(exc)
        if "keepalive" in said:
            return self._silent()
        return self._unavailable(
            f"libvirt at {self.uri} broke off in the middle ({said}), and may have done what it"
            " was asked, or not: see `journalctl --unit 'libvirtd*' --unit 'virt*'` there, then run"
            " this again"
        )

    def _silent(self) -> errors.HypervisorUnavailable:
        return self._unavailable(
            f"libvirt at {self.uri} takes connections, and has not said a word for"
            f" {self._patience:g} s: it hangs. `systemctl restart libvirtd` (or virtqemud) there"
            " ends that, and its machines run on"
        )

    def _unavailable(self, what: str) -> errors.HypervisorUnavailable:
        where = urlsplit(self.uri).hostname or "this machine"
        return errors.HypervisorUnavailable(f"{where}: {what}", element=self.uri)


def binding() -> Any:
    """
    Import the binding, and have it raise errors without printing them besides.

    :raises errors.HypervisorUnavailable: it isn't installed.
    """
    try:
        import libvirt  # noqa: PLC0415 - see the module's docstring
    except ImportError as exc:
        raise errors.HypervisorUnavailable(
            "libvirt's binding for Python is not installed: see requirements/libvirt.txt",
            element="libvirt",
        ) from exc
    with _loop:
        if not _looping:
            libvirt.registerErrorHandler(_say_nothing, None)
            libvirt.virEventRegisterDefaultImpl()
            _looping.append(threading.Thread(target=_run_events, args=(libvirt,), daemon=True))
            _looping[0].start()
    return libvirt


def _run_events(libvirt: Any) -> NoReturn:
    while True:
        with contextlib.suppress(libvirt.libvirtError):
            libvirt.virEventRunDefaultImpl()


def _in_time(opening: Callable[[], Any], within: float) -> Any:
    """
    Return what *opening* returns, from a thread that is left behind when it takes too long.

    :raises TimeoutError: *within* seconds have passed. What it opens later is closed at once.
    """
    opened: futures.Future[Any] = futures.Future()

    def work() -> None:
        try:
            opened.set_result(opening())
        except BaseException as exc:  # noqa: BLE001 - it is raised where it is waited for
            opened.set_exception(exc)

    threading.Thread(target=work, daemon=True).start()
    return opened.result(within)


def _keep_alive(connection: Any, patience: float) -> None:
    libvirt = binding()
    try:
        connection.setKeepAlive(max(1, round(patience / (_PINGS + 1))), _PINGS)
    except libvirt.libvirtError as exc:
        if exc.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:  # a driver in our own process
            raise


def _said(exc: Any) -> str:
    return str(exc.get_error_message() or exc)


def _say_nothing(_context: object, _error: object) -> None:
    """Take an error that is raised anyway."""


def _is_alive(connection: Any) -> bool:
    try:
        return bool(connection.isAlive())
    except binding().libvirtError:
        return False


def first_that_works(*ways: Callable[[], Any]) -> Any:
    """Return what the first way returns that the driver knows: not every one knows every flag."""
    libvirt = binding()
    unknown = {libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_NO_SUPPORT}
    for way in ways[:-1]:
        try:
            return way()
        except libvirt.libvirtError as exc:
            if exc.get_error_code() not in unknown:
                raise
    return ways[-1]()
