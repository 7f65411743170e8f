"""
The address of a hypervisor: who logs in where, and to which libvirt.

    KvmHost("root@hypervisor1")
    KvmHost("ssh://ops@[2001:db8::7]:2222")
    KvmHost("qemu+ssh://root@hypervisor1/session?keyfile=/etc/fleet/key")

What is written here ends up as arguments of `ssh` and as a URI of libvirt, so an address is refused
when any part could be read as something else. Two ways in are closed on purpose: `qemu+tcp` speaks
in the clear, and `no_verify` talks to whoever answers. A message never repeats a password.
"""

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from fleet import errors

_LONGEST = 512
_PORT_MAX = 65535
_FORM = re.compile(
    r"(?:(?P<scheme>[^:/@\[\]]+)://)?"
    r"(?:(?P<user>[^@/?#]*)@)?"
    r"(?P<host>\[[^\[\]/?#@]*\]|[^:/?#\[\]@]*)"
    r"(?::(?P<port>[^/?#@:]*))?"
    r"(?P<path>/[^?#]*)?"
    r"(?:\?(?P<query>[^#]*))?"
)
_PRINTABLE = re.compile(r"[!-~]+")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}\$?")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NAME_MAX = 253
_ZONE = re.compile(r"[A-Za-z0-9._~-]+")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PASSWORD = re.compile(r":[^/@:][^@]*@|:@")
_SCHEMES = frozenset({"ssh", "qemu+ssh"})
_PATHS = frozenset({"", "/", "/system", "/session"})
_REFUSED_PARAMETERS = {
    "no_verify": "it would talk to whoever answers; pin the host's key instead",
    "known_hosts_verify": "ssh's own configuration says how host keys are checked",
    "known_hosts": "libvirt takes that for libssh alone; ssh's own configuration says where",
    "command": "it would run another program than ssh",
    "netcat": "it would run another program at the other end",
    "socket": "the path of the URI chooses the libvirt",
}


@dataclass(frozen=True, slots=True)
class _Parts:
    user: str = ""
    host: str = ""
    port: int | None = None
    session: bool = False
    keyfile: str = ""


class KvmHost(str):
    """
    A `str` that is known to be the address of a hypervisor, in its shortest spelling.

    Two are equal where they mean the same, and ``KvmHost(str(host)) == host``.
    """

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """
        Check *value*.

        :raises errors.InvalidHost: with the rule that it breaks.
        """
        return super().__new__(cls, _spelled(_parsed(str(value))))

    @property
    def user(self) -> str:
        """Return who logs in; empty where ssh's configuration says so."""
        return _parsed(self).user

    @property
    def host(self) -> str:
        """Return the name or the address, without brackets."""
        return _parsed(self).host

    @property
    def port(self) -> int | None:
        """Return the port, where another than ssh's own is meant."""
        return _parsed(self).port

    @property
    def keyfile(self) -> str:
        """Return the private key to log in with, where one is named."""
        return _parsed(self).keyfile

    def uri(self) -> str:
        """Return what libvirt connects to. It never asks for a password."""
        parts = _parsed(self)
        keyfile = f"keyfile={quote(parts.keyfile)}&" if parts.keyfile else ""
        path = "session" if parts.session else "system"
        return f"qemu+ssh://{_authority(parts)}/{path}?{keyfile}no_tty=1"

    def ssh_target(self) -> str:
        """Return what stands after ``ssh --``; the port goes apart."""
        parts = _parsed(self)
        return f"{parts.user}@{parts.host}" if parts.user else parts.host

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _parsed(value: str) -> _Parts:
    if not value:
        raise _invalid(value, "it is empty; write user@host")
    if len(value) > _LONGEST:
        raise _invalid("…", f"it is longer than {_LONGEST} characters")
    if not _PRINTABLE.fullmatch(value):
        raise _invalid(value, "it has a space, a control character or a letter beyond ASCII")
    found = _FORM.fullmatch(value)
    if _PASSWORD.search(value.split("?", maxsplit=1)[0]):
        raise _invalid(value, "a password has no place in an address: log in with a key")
    if found is None:
        raise _invalid(value, _hint(value))
    scheme, path, query = (found[name] or "" for name in ("scheme", "path", "query"))
    for broken in (*_broken_scheme(scheme, found), *_broken_path(scheme, path)):
        raise _invalid(value, broken)
    return _Parts(
        user=_user(value, found["user"]),
        host=_host(value, found["host"]),
        port=_port(value, found["port"]),
        session=path == "/session",
        keyfile=_keyfile(value, query),
    )


def _broken_scheme(scheme: str, found: re.Match[str]) -> Iterator[str]:
    if scheme.endswith("+tcp"):
        yield "TCP is not encrypted: use ssh://"
    elif scheme == "qemu":
        yield "that is the machine itself: promote LinuxHostTopology.from_local() instead"
    elif scheme and scheme not in _SCHEMES:
        yield f"{scheme} is not a way in: use ssh://"
    elif not scheme and found["port"] is not None:
        yield "write ssh://user@host:port for another port"
    elif scheme != "qemu+ssh" and found["query"] is not None:
        yield "parameters need qemu+ssh:// in front"


def _broken_path(scheme: str, path: str) -> Iterator[str]:
    if path not in _PATHS:
        yield f"{path} is no libvirt of QEMU: there are /system and /session"
    elif path not in {"", "/"} and scheme != "qemu+ssh":
        yield f"{path} needs qemu+ssh:// in front"
    elif path == "/" and not scheme:
        yield "a host has no slash"


def _user(value: str, user: str | None) -> str:
    if user is not None and not _USER.fullmatch(user):
        raise _invalid(value, "a user is 1 to 32 of a-z, 0-9, _ and -, and begins with a letter")
    return user or ""


def _host(value: str, host: str) -> str:
    if host.startswith("["):
        return _bracketed(value, host[1:-1])
    name = host.lower()
    if not name:
        raise _invalid(value, "the host is missing; write user@host")
    if re.fullmatch(r"[0-9.]+", name):
        return _address(value, name, ipaddress.IPv4Address)
    labels = name.split(".")
    if len(name) > _NAME_MAX or not all(_LABEL.fullmatch(label) for label in labels):
        raise _invalid(
            value, "a host is labels of a-z, 0-9 and -, with dots between; none begins with a dash"
        )
    return name


def _bracketed(value: str, inside: str) -> str:
    address, _, zone = inside.partition("%25")
    if zone and not _ZONE.fullmatch(zone):
        raise _invalid(value, "the zone of an address is letters, digits and . _ ~ -")
    if "%" in address or inside.endswith("%25"):
        raise _invalid(value, "write the zone of an address after %25: [fe80::1%25eth0]")
    bare = _address(value, address, ipaddress.IPv6Address)
    return f"{bare}%{zone}" if zone else bare


def _address(
    value: str, text: str, kind: type[ipaddress.IPv4Address] | type[ipaddress.IPv6Address]
) -> str:
    try:
        return str(kind(text))
    except ValueError as exc:
        raise _invalid(value, f"{text} is not an address: {exc}") from exc


def _port(value: str, port: str | None) -> int | None:
    if port is None:
        return None
    if not _PORT.fullmatch(port) or int(port) > _PORT_MAX:
        raise _invalid(value, f"a port is a number from 1 to {_PORT_MAX}")
    return int(port)


def _keyfile(value: str, query: str) -> str:
    keyfile = ""
    for pair in filter(None, query.split("&")):
        name, _, encoded = pair.partition("=")
        if name == "no_tty" and encoded == "1":
            continue  # as `uri` writes it
        if name != "keyfile":
            raise _invalid(value, f"{name} is refused: {_REFUSED_PARAMETERS.get(name, 'unknown')}")
        if keyfile:
            raise _invalid(value, "keyfile is there twice")
        keyfile = unquote(encoded)
        if not keyfile.startswith("/") or not keyfile.isprintable():
            raise _invalid(value, "keyfile must be an absolute path")
    return keyfile


def _spelled(parts: _Parts) -> str:
    if parts.session or parts.keyfile:
        keyfile = f"?keyfile={quote(parts.keyfile)}" if parts.keyfile else ""
        return f"qemu+ssh://{_authority(parts)}/{'session' if parts.session else 'system'}{keyfile}"
    return f"ssh://{_authority(parts)}" if parts.port else _authority(parts)


def _authority(parts: _Parts) -> str:
    user = f"{parts.user}@" if parts.user else ""
    host = f"[{parts.host.replace('%', '%25')}]" if ":" in parts.host else parts.host
    return f"{user}{host}" + (f":{parts.port}" if parts.port else "")


def _hint(value: str) -> str:
    if value.count(":") > 1 and "[" not in value:
        return "an IPv6 address stands in brackets: user@[2001:db8::7]"
    return "write user@host, or ssh://user@host:port"


def _invalid(value: str, rule: str) -> errors.InvalidHost:
    shown = _PASSWORD.sub(":…@", value)
    return errors.InvalidHost(f"{shown!r} is not a hypervisor's address: {rule}", element=shown)
