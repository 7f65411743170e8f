"""
Ports that stay a part's own while it is down.

They lie below those that the kernel gives to outgoing connections (32768 and up): one of these may
hold, for a minute, the port that a part which was killed wants back.
"""

import random
import socket

_OURS = range(20_000, 30_000)
_IP_FREEBIND = 15  # of linux/in.h; Python's socket module doesn't name it


def free(address: str = "127.0.0.1") -> int:
    """Find a port at *address* that nobody holds now."""
    while True:
        port = random.choice(_OURS)  # noqa: S311 - so that two who look at once rarely meet
        if is_free(address, port):
            return port


def is_free(address: str, port: int) -> bool:
    """Tell whether *port* can be bound at *address*, which need not be there yet."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return False
    return True
