"""
A connection to podman's socket that closes what it opens, and can be broken off.

podman-py drops a socket that could not be connected without closing it, and has
no way to end a response that another thread is reading.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import requests
from podman.api import client as podman_client
from podman.api import uds

from fleet import errors


class SocketClient(podman_client.APIClient):
    """podman-py's client, on sockets that we know."""

    def __init__(self, address: str, timeout: float | None = None) -> None:
        super().__init__(base_url=address, timeout=timeout)
        self._lock = threading.Lock()
        self._opened: list[socket.socket] = []
        self._is_aborted = False
        adapter = uds.UDSAdapter(self.base_url.geturl(), timeout=timeout)
        pools: Any = adapter.poolmanager
        pools.pool_classes_by_scheme = {"http": _pool_class(self._note)}
        self.mount("http://", adapter)

    def send_request(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a request, and return podman-py's response, whatever its status."""
        return self._request(method, path, **arguments)

    def lines(self, response: Any) -> Iterator[dict[str, Any]]:
        """
        Read JSON lines until the end, or until `abort`.

        :raises errors.RuntimeUnavailable: the stream broke.
        """
        try:
            with contextlib.closing(response):
                for line in response.iter_lines(chunk_size=None):
                    if line:
                        yield json.loads(line)
        except (OSError, requests.RequestException, ValueError) as exc:
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
        self.close()

    def _note(self, opened: socket.socket) -> None:
        with self._lock:
            self._opened = [known for known in self._opened if known.fileno() >= 0]
            self._opened.append(opened)
            if self._is_aborted:
                opened.shutdown(socket.SHUT_RDWR)


def _pool_class(note: Callable[[socket.socket], None]) -> type[uds.UDSConnectionPool]:
    class Connection(uds.UDSConnection):
        """Closes a socket that can't be connected; podman-py 5.8.0 leaves it open."""

        def connect(self) -> None:
            opened: Any = uds.UDSSocket(self.uds)
            try:
                opened.settimeout(self.timeout)
                opened.connect()
            except BaseException:
                opened.close()
                raise
            note(opened)
            self.sock = opened

    class Pool(uds.UDSConnectionPool):
        """Makes such connections."""

        ConnectionCls = Connection

    return Pool
