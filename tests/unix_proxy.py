"""A socket in front of another that can fall silent, answer slowly, or be gone."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class UnixProxy:
    """
    Forwards connections at *path* to *target*.

    `hang`: it takes connections, and nothing comes back. Connections made
    meanwhile stay dead for ever, as those of a process that is stuck do.
    """

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self.delay = 0.0
        self._target = target
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._hangs = False
        self._closed = threading.Event()

    @property
    def address(self) -> str:
        """The address, as podman's clients spell it."""
        return f"unix://{self.path}"

    def appear(self) -> None:
        """Take connections."""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(128)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def vanish(self) -> None:
        """Break every connection off, and be gone."""
        self._stop_listening()
        with self._lock:
            broken, self._open = self._open, set()
        for each in broken:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Fall silent, on every connection."""
        self._hangs = True

    def be_replaced(self) -> None:
        """Let another server answer, while the connections of the silent one stay as they are."""
        self._stop_listening()
        self._hangs = False
        self.appear()

    def close(self) -> None:
        """End it."""
        self._closed.set()
        self.vanish()

    def _stop_listening(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
            self.path.unlink()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._target))
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
        is_dead = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                # Once a byte was kept back, the connection is of no use any more.
                is_dead = is_dead or self._hangs
                if not is_dead:
                    self._closed.wait(self.delay)
                    sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def unix_proxy(path: Path, target: Path) -> Iterator[UnixProxy]:
    """Make a proxy, not there yet, that ends with the block."""
    proxy = UnixProxy(path, target)
    try:
        yield proxy
    finally:
        proxy.close()
