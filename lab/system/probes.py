"""Probes of readiness for `lab.system.waiting`: each looks once, and says what is missing."""

import os
import socket
import ssl
import urllib.request
from pathlib import Path

from lab.system.waiting import Probe


def anything() -> str:
    """Find nothing missing: for a part that is ready as soon as it runs."""
    return ""


def tcp(host: str, port: int) -> Probe:
    """Ready when something accepts connections at *host*:*port*."""

    def probe() -> str:
        with socket.create_connection((host, port), timeout=2):
            return ""

    return probe


def unix(path: Path) -> Probe:
    """Ready when something accepts connections at the socket *path*."""

    def probe() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(2)
            _connect(sock, path)
        return ""

    return probe


def http(url: str, *, ca: Path | None = None, unix_socket: Path | None = None) -> Probe:
    """Ready when a GET of *url* answers 2xx."""
    if unix_socket is not None:
        return _http_over(unix_socket, url)

    def probe() -> str:
        context = ssl.create_default_context(cafile=ca) if ca else None
        opener = urllib.request.build_opener(  # no proxy of the environment: it is on this host
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(url, timeout=2) as answer:
            return "" if answer.status < 300 else f"{url} answers {answer.status}"  # noqa: PLR2004 - HTTP

    return probe


def _http_over(path: Path, target: str) -> Probe:
    def probe() -> str:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            _connect(sock, path)
            sock.sendall(f"GET {target} HTTP/1.0\r\nHost: lab\r\n\r\n".encode())
            status = sock.makefile("rb").readline().decode().strip()
        return "" if " 200 " in f"{status} " else f"{target} answers {status!r}"

    return probe


def _connect(sock: socket.socket, path: Path) -> None:
    """Connect to *path*, however long it is: the kernel itself takes 107 characters."""
    directory = os.open(path.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)
