"""
What a kubeconfig must hold before it is used: half a file is told, and never guessed from.

Client libraries take what is missing for a default: without a server, they ask this very host.
What stands in the file is never quoted, since there are secrets in it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import yaml
from msgspec import UNSET, Meta, UnsetType

from fleet import errors

T = TypeVar("T")
Name = Annotated[str, Meta(min_length=1)]


class _Cluster(msgspec.Struct, rename="kebab"):
    server: Name
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False  # a word would count as true
    tls_server_name: str = ""
    proxy_url: str = ""


class _Context(msgspec.Struct):
    cluster: Name
    user: str = ""


class _Variable(msgspec.Struct):
    name: Name
    value: str


class _Program(msgspec.Struct, rename="camel"):
    command: Name
    api_version: Name
    args: list[str] | None = None
    env: list[_Variable] | None = None


class User(msgspec.Struct, rename="kebab"):
    """Who asks. Client libraries quote all of it where a field is null, so none may be."""

    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    username: str = ""
    password: str = ""
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    exec: _Program | UnsetType = UNSET


class _File(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    contexts: list[dict[str, Any]] | None = None
    clusters: list[dict[str, Any]] | None = None
    users: list[dict[str, Any]] | None = None


def check_path(path: str) -> User | None:
    """
    Check the files of *path*, which may be several, as in ``$KUBECONFIG``; None: there is none.

    :raises errors.InvalidConfig: see `check`.
    :raises OSError: one can't be read.
    """
    parts = [Path(part).expanduser() for part in path.split(os.pathsep) if part]
    files = {str(part): part.read_bytes() for part in parts if part.exists()}
    return check(files) if files else None


def check(files: Mapping[str, bytes]) -> User:
    """
    Check what *files*, by their paths, say together about the current context; return its user.

    :raises errors.InvalidConfig: one isn't a kubeconfig, or something is missing from it.
    """
    where = ", ".join(files)
    read = [_parsed(path, text) for path, text in files.items()]
    named = [file.current_context for file in read if file.current_context]
    if not named:
        raise _missing(where, "no current-context")
    contexts = [entry for file in read for entry in file.contexts or ()]
    context = _found(where, contexts, "context", named[-1], _Context)
    clusters = [entry for file in read for entry in file.clusters or ()]
    _found(where, clusters, "cluster", context.cluster, _Cluster)
    if not context.user:
        return User()
    users = [entry for file in read for entry in file.users or ()]
    user = _found(where, users, "user", context.user, User)
    if bool(_certificate(user)) != bool(user.client_key or user.client_key_data):
        half = "key" if _certificate(user) else "certificate"
        raise _missing(where, f"user {context.user!r}: no client-{half} to go with the other half")
    return user


def quotable(words: str) -> str:
    """Keep what a client library says of a file; its other words quote what stands in one."""
    return words if words.startswith("File does not exist") else "what it says can't be used"


def _certificate(user: User) -> str:
    return user.client_certificate or user.client_certificate_data


def _parsed(path: str, text: bytes) -> _File:
    try:
        return msgspec.convert(yaml.safe_load(text), _File)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise _missing(path, f"no YAML{place}") from None  # its own words quote the file
    except msgspec.ValidationError as exc:
        raise _missing(path, str(exc)) from exc


def _found(where: str, entries: list[dict[str, Any]], kind: str, name: str, type_: type[T]) -> T:
    for entry in entries:
        if entry.get("name") == name:
            try:
                return msgspec.convert(entry.get(kind), type_)
            except msgspec.ValidationError as exc:
                raise _missing(where, f"{kind} {name!r}: {exc}") from exc
    raise _missing(where, f"no {kind} {name!r}, which is used")


def _missing(where: str, what: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(f"kubeconfig {where}: {what}", element=where)
