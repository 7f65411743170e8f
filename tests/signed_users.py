"""NATS's decentralised users, for tests: an operator, an account, and a user's ``.creds`` file."""

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nkeys

_UNLIMITED = {
    "subs": -1,
    "data": -1,
    "payload": -1,
    "imports": -1,
    "exports": -1,
    "wildcards": True,
    "conn": -1,
    "leaf": -1,
    "mem_storage": -1,
    "disk_storage": -1,
    "streams": -1,
    "consumer": -1,
}


@dataclass(frozen=True, slots=True)
class SignedUsers:
    """What the server has to know (*configuration*), and the file of one user."""

    configuration: str
    credentials: Path


class _Key:
    def __init__(self, prefix: int) -> None:
        self.seed = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def vouch(self, subject: str, **claims: Any) -> str:
        """Sign a JWT about *subject*."""
        body = {"jti": "test", "iat": 1767225600, "iss": self.public, "sub": subject}
        parts = [
            _part({"typ": "JWT", "alg": "ed25519-nkey"}),
            _part(body | {"name": claims["type"], "nats": claims | {"version": 2}}),
        ]
        signed = self._pair.sign(".".join(parts).encode())
        return ".".join([*parts, _encoded(signed)])


def make(directory: Path) -> SignedUsers:
    """Make one user of one account, who may do everything."""
    operator, account, system, user = (
        _Key(prefix)
        for prefix in (
            nkeys.PREFIX_BYTE_OPERATOR,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_ACCOUNT,
            nkeys.PREFIX_BYTE_USER,
        )
    )
    accounts = {
        account.public: operator.vouch(account.public, type="account", limits=_UNLIMITED),
        system.public: operator.vouch(system.public, type="account", limits={"conn": -1}),
    }
    configuration = (
        f"operator: {operator.vouch(operator.public, type='operator')}\n"
        f"system_account: {system.public}\nresolver: MEMORY\n"
        f"resolver_preload: {json.dumps(accounts)}\n"
    )
    jwt = account.vouch(user.public, type="user", subs=-1, data=-1, payload=-1)
    path = directory / "user.creds"
    path.write_text(
        f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    return SignedUsers(configuration, path)


def _part(content: dict[str, Any]) -> str:
    return _encoded(json.dumps(content).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
