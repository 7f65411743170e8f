"""
SSH key pairs, made here and kept where nobody else reads: ed25519, in OpenSSH's form.

`ensure_fleet_ssh_keypair` gives a fleet's own pair, the same one at each call, also when two
processes call it first at once. `new_host_key` makes the key that a machine will show, so that it
is pinned before anybody has spoken with it.
"""

import contextlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet import directories, errors

NAMESPACE = "fleet"
_PRIVATE = "id_ed25519"
_SECRET = 0o600
_OPEN_TO_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class FleetSshKeypair:
    """A key pair: the file of the private half, and the line of the public one."""

    private: Path
    public: str


@dataclass(frozen=True, slots=True)
class HostKey:
    """The ed25519 key of a machine; *public* is its line without a comment."""

    private: str = field(repr=False)
    public: str

    def pin(self, address: str, *, port: int = 22) -> str:
        """Write the line of ``known_hosts`` by which *address* is known."""
        host = address if port == 22 else f"[{address}]:{port}"  # noqa: PLR2004 - SSH's
        return f"{host} {self.public}\n"


def ensure_fleet_ssh_keypair(
    namespace: str = NAMESPACE, environ: Mapping[str, str] = os.environ
) -> FleetSshKeypair:
    """
    Return the key pair of *namespace*, made now where there is none.

    A private key that others could read is closed again.

    :raises errors.InvalidConfig: there is a file, and it isn't such a key: it may be somebody's,
        and is never replaced.
    """
    path = directories.keys_dir(namespace, environ) / _PRIVATE
    if not path.exists():
        _keep(_private_text(Ed25519PrivateKey.generate()), path)
    if path.stat().st_mode & _OPEN_TO_OTHERS:
        path.chmod(_SECRET)
    return FleetSshKeypair(path, f"{_public_line(_read(path))} {namespace}")


def new_host_key() -> HostKey:
    """Make a key for a machine to be known by."""
    key = Ed25519PrivateKey.generate()
    return HostKey(_private_text(key), _public_line(key))


def host_key(private: str) -> HostKey:
    """
    Return the host key whose private half reads *private*.

    :raises errors.InvalidConfig: it is none.
    """
    return HostKey(private, _public_line(_parse(private.encode(), "the host key")))


def _keep(text: str, path: Path) -> None:
    """Give *path* its content once and whole: of two who try, one wins, and both use that one's."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-") as draft:  # mode 0600
        draft.write(text.encode())
        draft.flush()
        os.fsync(draft.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft.name, path)


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise _unusable(str(path), exc.strerror or str(exc)) from exc
    return _parse(data, str(path))


def _parse(data: bytes, where: str) -> Ed25519PrivateKey:
    try:
        key = serialization.load_ssh_private_key(data, password=None)
    except (ValueError, TypeError) as exc:
        raise _unusable(where, str(exc)) from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise _unusable(where, f"it is a {type(key).__name__}, not an ed25519 key")
    return key


def _unusable(where: str, why: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(
        f"{where} holds no private SSH key that can be used: {why}; move it away, and a new one is"
        " made",
        element=where,
    )


def _private_text(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    ).decode()


def _public_line(key: Ed25519PrivateKey) -> str:
    return (
        key.public_key()
        .public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        .decode()
    )
