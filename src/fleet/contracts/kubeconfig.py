"""
What a kubeconfig must hold before it is used: half a file is told, and never guessed from.

Client libraries take what is missing for a default: without a server, they ask this very host.
What stands in the file is never quoted, since there are secrets in it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import yaml
from msgspec import Meta

from fleet import errors

Name = Annotated[str, Meta(min_length=1)]


class _Cluster(msgspec.Struct):
    server: Name


class _Context(msgspec.Struct):
    cluster: Name
    user: str = ""


class _File(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    contexts: list[dict[str, Any]] | None = None
    clusters: list[dict[str, Any]] | None = None
    users: list[dict[str, Any]] | None = None


def check_path(path: str) -> bool:
    """
    Check the files of *path*, which may be several, as in ``$KUBECONFIG``; tell if any is there.

    :raises errors.InvalidConfig: see `check`.
    :raises OSError: one can't be read.
    """
    parts = [Path(part).expanduser() for part in path.split(os.pathsep) if part]
    files = {str(part): part.read_bytes() for part in parts if part.exists()}
    if files:
        check(files)
    return bool(files)


def check(files: Mapping[str, bytes]) -> None:
    """
    Check what *files*, by their paths, say together about the current context.

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
    if context.user:
        users = [entry for file in read for entry in file.users or ()]
        _found(where, users, "user", context.user, dict)


def _parsed(path: str, text: bytes) -> _File:
    try:
        return msgspec.convert(yaml.safe_load(text), _File)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f", line {mark.line + 1}" if mark else ""
        raise _missing(path, f"no YAML{place}") from None  # its own words quote the file
    except msgspec.ValidationError as exc:
        raise _missing(path, str(exc)) from exc


def _found(where: str, entries: list[dict[str, Any]], kind: str, name: str, type_: Any) -> Any:
    for entry in entries:
        if entry.get("name") == name:
            try:
                return msgspec.convert(entry.get(kind), type_)
            except msgspec.ValidationError as exc:
                raise _missing(where, f"{kind} {name!r}: {exc}") from exc
    raise _missing(where, f"no {kind} {name!r}, which is used")


def _missing(where: str, what: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(f"kubeconfig {where}: {what}", element=where)
