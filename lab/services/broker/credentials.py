"""
Credentials: a long random password per user, in a file of its own that nobody else reads.

The server's configuration carries the bcrypt hash alone. Its salt is derived from the password, so
the same credentials give the same configuration; and its cost is low: nobody guesses 256 random
bits, while a thousand devices that come back at once would wait for an expensive one.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from fleet.contracts.permissions import Permissions
from fleet.scores.nats_server import NatsUser
from lab.host import files

_SECRET = 0o600
_COST = b"04"
_SALT_LENGTH = 22
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_BCRYPT = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class BrokerUser:
    """Someone who may connect, and the file with the credentials. No *permissions*: all of them."""

    name: str
    credentials: Path
    permissions: Permissions | None = None


def missing(user: BrokerUser) -> str:
    """Tell what is wrong with the credentials of *user*; an empty string when nothing is."""
    if not password(user):
        return f"{user.name} has no credentials"
    mode = user.credentials.stat().st_mode & 0o777
    return f"the credentials of {user.name} have mode {mode:o}" if mode != _SECRET else ""


def ensure(user: BrokerUser) -> None:
    """Make the credentials of *user*, or close their file; a password once made is kept."""
    known = password(user) or secrets.token_urlsafe(32)
    content = json.dumps({"user": user.name, "password": known}) + "\n"
    files.write(user.credentials, content, _SECRET)


def server_user(user: BrokerUser) -> NatsUser:
    """Describe *user* to the server."""
    rights = user.permissions
    return NatsUser(
        name=user.name,
        password_hash=hashed(password(user)),
        publish=rights.publish if rights else None,
        subscribe=rights.subscribe if rights else None,
    )


def password(user: BrokerUser) -> str:
    """Read the password of *user*; nothing where the file isn't there or isn't theirs."""
    try:
        found = json.loads(user.credentials.read_text())
        return str(found["password"]) if found["user"] == user.name else ""
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""


def hashed(secret: str) -> str:
    """Hash a random *secret*, to the same hash each time."""
    digest = base64.b64encode(hashlib.sha256(b"salt " + secret.encode()).digest()[:16])
    salt = digest.translate(bytes.maketrans(_BASE64, _BCRYPT))[:_SALT_LENGTH]
    return bcrypt.hashpw(secret.encode(), b"$2b$" + _COST + b"$" + salt).decode()
