"""
Requests to podman's socket, by the standard library alone.

podman-py brings an HTTP library of its own, which cost every device 7 MB and
half a millisecond a request. Each request here has a connection to itself: one
to a Unix socket costs less than the care that a kept one needs, none is ever
found dead, and breaking one off disturbs no other.
"""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

from fleet import errors

# What podman 4 and 5 both serve.
_PREFIX = "/v5.0.0/libpod"
_SCHEMES = ("http+unix://", "unix://")
# A socket whose owner hangs takes no more connections at some time.
_CONNECT_SECONDS = 5.0


class Response:
    """What podman answered, whatever its status. The body is read when it is asked for."""

    def __init__(self, raw: http.client.HTTPResponse) -> None:
        self._raw = raw
        self._body: bytes | None = None
        self.status_code = raw.status
        self.headers = raw.headers

    @property
    def text(self) -> str:
        """The body."""
        return self.read().decode(errors="replace")

    def json(self) -> Any:
        """
        Read the body as JSON.

        :raises ValueError: it isn't.
        """
        return json.loads(self.read())

    def read(self) -> bytes:
        """
        Read the body to its end.

        :raises OSError: it broke off.
        """
        if self._body is None:
            with contextlib.closing(self._raw):
                try:
                    self._body = self._raw.read()
                except http.client.HTTPException as exc:
                    raise ConnectionResetError(f"the answer broke off: {exc!r}") from exc
        return self._body

    def lines(self) -> Generator[bytes, None, None]:
        """Read the body line by line, as it comes."""
        with contextlib.closing(self._raw):
            yield from self._raw


class SocketClient:
    """
    Connections to the socket at *address*, ``unix:///path``.

    No answer may stay away, or pause, for longer than *timeout* seconds.
    """

    def __init__(self, address: str, timeout: float | None = None) -> None:
        self._path = _path(address)
        self._timeout = timeout
        self._lock = threading.Lock()
        self._opened: list[socket.socket] = []
        self._is_aborted = False

    def send_request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        data: str | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        timeout: float | None = None,
    ) -> Response:
        """
        Send a request, and return the answer: whole, or with *stream* once it begins.

        :raises OSError: podman doesn't answer, or not in time.
        """
        connection = _Connection(self._connect(timeout or self._timeout))
        target = f"{_PREFIX}{path}{'?' if params else ''}{urlencode(params or {})}"
        try:
            connection.request(
                method, target, body=data, headers={**(headers or {}), "Connection": "close"}
            )
            response = Response(connection.getresponse())
            if not stream:
                response.read()
        except http.client.HTTPException as exc:
            raise ConnectionResetError(f"not an answer: {exc!r}") from exc
        finally:
            connection.close()  # the answer keeps what it has still to read
        return response

    def lines(self, response: Response) -> Iterator[dict[str, Any]]:
        """
        Read JSON lines until the end, or until `abort`.

        :raises errors.RuntimeUnavailable: the stream broke.
        """
        try:
            with contextlib.closing(response.lines()) as lines:
                for line in lines:
                    if line.strip():
                        yield json.loads(line)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            if not self._is_aborted:
                raise errors.RuntimeUnavailable("podman broke a stream off") from exc

    def be_patient(self) -> None:
        """Wait from now on for as long as it takes, where a stream has begun."""
        with self._lock:
            for opened in self._opened:
                with contextlib.suppress(OSError):
                    opened.settimeout(None)

    def abort(self) -> None:
        """
        Break off whatever is under way, from any thread.

        The sockets are shut down, which wakes their readers; those close them.
        """
        with self._lock:
            self._is_aborted = True
            for opened in self._opened:
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)

    def _connect(self, timeout: float | None) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.settimeout(min(_CONNECT_SECONDS, timeout or _CONNECT_SECONDS))
            opened.connect(self._path)
            opened.settimeout(timeout)
            self._note(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _note(self, opened: socket.socket) -> None:
        with self._lock:
            self._opened = [known for known in self._opened if known.fileno() >= 0]
            self._opened.append(opened)
            if self._is_aborted:
                opened.shutdown(socket.SHUT_RDWR)


class _Connection(http.client.HTTPConnection):
    """HTTP on a socket that is connected already."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__("podman")
        self.sock = connected


def _path(address: str) -> str:
    for scheme in _SCHEMES:
        if address.startswith(scheme):
            return address.removeprefix(scheme)
    return address


class Request(Protocol):
    """Send a request to podman; blocks. Raises `errors.RuntimeUnavailable`."""

    def __call__(
        self, method: str, path: str, *, client: SocketClient | None = None, **arguments: Any
    ) -> Any: ...
