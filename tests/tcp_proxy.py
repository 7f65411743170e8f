"""A link that can be cut: a TCP proxy on loopback, in threads of its own."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_RESETS = struct.pack("ii", 1, 0)


class TcpProxy:
    """Forwards connections to *target* until it is cut; then it closes and refuses them."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._reset: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._is_cut = False
        self._flows = threading.Event()
        self._flows.set()
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection, and take no other."""
        with self._lock:
            self._is_cut = True
            broken, self._open = self._open, set()
        for each in broken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Break every connection as a router does that has forgotten it; others are taken."""
        with self._lock:
            broken, self._open = self._open, set()
            self._reset |= broken
        for each in broken:
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
                each.shutdown(socket.SHUT_RD)

    def freeze(self) -> None:
        """Carry nothing any more, neither way; every connection stands, half open."""
        self._flows.clear()

    def mend(self) -> None:
        """Carry, and take connections, again."""
        with self._lock:
            self._is_cut = False
        self._flows.set()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._flows.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                client.close()
                continue
            self._join(client, socket.create_connection(self._target))

    def _join(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open |= {client, server}
        threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with client, server:
            back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
            back.start()
            self._pump(client, server)
            back.join()
        with self._lock:
            self._open -= {client, server}

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                sink.sendall(data)
        if sink not in self._reset:  # closing it says RST; this would say FIN before
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tcp_proxy(target: tuple[str, int]) -> Iterator[TcpProxy]:
    """Forward to *target* while the block runs."""
    proxy = TcpProxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
