"""
Who we are at a server, and whom we trust: read from files, with limits, and checked.

A file may be cut off, empty, replaced in the middle, or no file at all; a reader
learns that as `errors.InvalidConfig`, never by hanging. What a message says of a
file never repeats what it holds.
"""

import base64
import json
import os
import re
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fleet import errors

MAX_BYTES: Final = 64 * 1024
MAX_LINES: Final = 1000
MAX_AUTHORITY_BYTES: Final = 1024 * 1024

_JWT_BEGINS: Final = "-----BEGIN NATS USER JWT-----"
_SEED_BEGINS: Final = "-----BEGIN USER NKEY SEED-----"
_JWT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SEED: Final = re.compile(r"SU[A-Z2-7]{56}")


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """A user with a password."""

    user: str
    password: str


@dataclass(frozen=True, slots=True, repr=False)
class SignedUser:
    """A user whom an account vouches for (*jwt*), and the seed that proves to be him."""

    jwt: str
    seed: str

    def sign(self, nonce: str) -> bytes:
        """Sign what the server asked to be signed."""
        import nkeys  # noqa: PLC0415 - loads libsodium, which a user with a password does without

        pair: Any = nkeys.from_seed(bytearray(self.seed.encode()))  # type: ignore[no-untyped-call]
        return base64.b64encode(pair.sign(nonce.encode()))


Login = Password | SignedUser


def read_login(path: Path) -> Login:
    """
    Read a ``.creds`` file, or JSON with user and password.

    :raises errors.InvalidConfig: it isn't there, or isn't one.
    """
    text = _text(path, MAX_BYTES)
    return parse_signed_user(path, text) if path.suffix == ".creds" else _password(path, text)


def read_authority(path: Path) -> ssl.SSLContext:
    """
    Trust the authority in *path*, and no other.

    :raises errors.InvalidConfig: it isn't there, or holds no certificate.
    """
    text = _text(path, MAX_AUTHORITY_BYTES)
    if "-----BEGIN CERTIFICATE-----" not in text:
        raise _invalid(path, "holds no certificate (PEM)")
    try:
        return ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError) as exc:
        raise _invalid(path, f"holds no certificate that can be read: {exc}") from exc


def _password(path: Path, text: str) -> Password:
    try:
        content = json.loads(text)
        user, password = content["user"], content["password"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise _invalid(path, 'is not {"user": …, "password": …}') from exc
    if not (isinstance(user, str) and isinstance(password, str) and user):
        raise _invalid(path, "has a user or a password that is no text")
    return Password(user, password)


def parse_signed_user(path: Path, text: str) -> SignedUser:
    """
    Read the content of a ``.creds`` file.

    :raises errors.InvalidConfig: a part of it is missing, or cut off.
    """
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise _invalid(path, f"has more than {MAX_LINES} lines")
    jwt = _after(lines, _JWT_BEGINS)
    seed = _after(lines, _SEED_BEGINS)
    if not _JWT.fullmatch(jwt):
        raise _invalid(path, "holds no user JWT, or a part of one")
    if not _SEED.fullmatch(seed):
        raise _invalid(path, "holds no seed of a user, or a part of one")
    return SignedUser(jwt, seed)


def _after(lines: list[str], heading: str) -> str:
    """Return the line that follows *heading*; empty where there is none."""
    headings = [number for number, line in enumerate(lines) if line.strip() == heading]
    return lines[headings[0] + 1].strip() if headings and headings[0] + 1 < len(lines) else ""


def _text(path: Path, most: int) -> str:
    try:
        return _bytes(path, most).decode()
    except UnicodeDecodeError:
        raise _invalid(path, "is not UTF-8") from None
    except OSError as exc:
        raise _invalid(path, f"can't be read: {exc.strerror}") from exc


def _bytes(path: Path, most: int) -> bytes:
    """Read a regular file of at most so many bytes. A pipe or a device isn't waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _invalid(path, "is no file")
        content = file.read(most + 1)
    if len(content) > most:
        raise _invalid(path, f"has more than {most} bytes")
    if not content.strip():
        raise _invalid(path, "is empty")
    return content


def _invalid(path: Path, why: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(f"{path} {why}", element=str(path))
