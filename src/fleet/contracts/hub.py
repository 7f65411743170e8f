"""
How the hub's servers are written: ``nats://host:4222``, several separated by commas.

``tls://`` asks for an encrypted connection and takes no other. An address never
holds a user, a password or a token: it is shown in logs, in a status and in
process lists. Those belong in a file of credentials.
"""

import re
from dataclasses import dataclass
from typing import Final

from fleet import errors

DEFAULT_PORT: Final = 4222
_SERVER: Final = re.compile(
    r"(?P<scheme>nats|tls)://"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)"
    r"(:(?P<port>[0-9]{1,5}))?/?"
)
# Scheme and host: what of a wrong address is surely no secret.
_BEGINNING: Final = re.compile(r"[a-z]*(://)?[A-Za-z0-9._-]{0,100}")
_HIGHEST_PORT: Final = 65535


@dataclass(frozen=True, slots=True)
class Server:
    """One server. *tls*: nothing but an encrypted connection will do."""

    host: str
    port: int = DEFAULT_PORT
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'nats'}://{host}:{self.port}"


def parse_servers(urls: str, *, where: str = "") -> tuple[Server, ...]:
    """
    Read the addresses of the hub's servers. A complaint begins with *where* they stand.

    :raises errors.InvalidConfig: one of them is none, or holds a secret, which isn't repeated.
    """
    if "@" in urls:  # before they are taken apart: a password may hold a comma
        raise _invalid(
            where, "an address holds no user, password or token; those belong in a credentials file"
        )
    return tuple(_parse(url.strip(), where) for url in urls.split(","))


def _parse(url: str, where: str) -> Server:
    match = _SERVER.fullmatch(url)
    port = int(match["port"] or DEFAULT_PORT) if match else 0
    if match is None or not 0 < port <= _HIGHEST_PORT:
        raise _invalid(where, f"{_shown(url)!r} is not like nats://host:4222")
    return Server(match["host"].strip("[]"), port, tls=match["scheme"] == "tls")


def _shown(url: str) -> str:
    """Cut an address that is none before anything that may be a secret."""
    begins = _BEGINNING.match(url)
    shown = begins[0] if begins else ""
    return shown if shown == url else f"{shown}…"


def _invalid(where: str, why: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(f"{where}: {why}" if where else why, element=where)
