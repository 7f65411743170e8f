"""
Where this project keeps its files.

| Directory                | Holds                                | Mode |
|--------------------------|--------------------------------------|------|
| `data_dir()`             | everything below                     | 0755 |
| `cache_dir()`            | images, toolchains: may be made anew | 0755 |
| `secrets_dir()`          | what must stay secret                | 0700 |
| `keys_dir(namespace)`    | key pairs of one purpose             | 0700 |

The data directory is ``$HARMONY_DATA_DIR``, else ``$XDG_DATA_HOME/harmony``,
else ``~/.local/share/harmony``. A variable that names no absolute path is refused:
it would mean another directory wherever a command is run. Each function makes its
directory when it isn't there. A secret directory that others can read is closed
again rather than trusted.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from fleet import errors

DATA_DIR_VARIABLE = "HARMONY_DATA_DIR"
_SHARED_VARIABLE = "XDG_DATA_HOME"

_PUBLIC = 0o755
_SECRET = 0o700


def data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return the data directory, shared with what else of Harmony runs here.

    :raises errors.DirectoryUnusable: it isn't an absolute path, or no directory, or it can't be
        made or written to.
    """
    return _usable(_wanted(environ), _PUBLIC)


def cache_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return this project's own directory: cloud images, toolchains, labs."""
    return _usable(data_dir(environ) / "fleet", _PUBLIC)


def secrets_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory for what nobody else may read."""
    return _usable(cache_dir(environ) / "secrets", _SECRET)


def keys_dir(namespace: str, environ: Mapping[str, str] = os.environ) -> Path:
    """
    Return the directory of the key pairs of one purpose.

    :raises errors.InvalidName: *namespace* is not one plain path segment.
    """
    if Path(namespace).name != namespace or namespace in {"", ".", ".."}:
        raise errors.InvalidName(f"{namespace!r} is not a plain path segment", element=namespace)
    return _usable(secrets_dir(environ) / "keys" / namespace, _SECRET)


def _wanted(environ: Mapping[str, str]) -> Path:
    if environ.get(DATA_DIR_VARIABLE):
        return _absolute(environ, DATA_DIR_VARIABLE)
    if environ.get(_SHARED_VARIABLE):
        return _absolute(environ, _SHARED_VARIABLE) / "harmony"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "share" / "harmony"


def _absolute(environ: Mapping[str, str], variable: str) -> Path:
    path = Path(environ[variable])
    if not path.is_absolute():
        raise errors.DirectoryUnusable(
            f"{variable}={path} is not an absolute path: write it with a leading /",
            element=str(path),
        )
    return path


def _usable(path: Path, mode: int) -> Path:
    if (file := _not_a_directory(path)) is not None:
        raise errors.DirectoryUnusable(
            f"{path} can't be a directory, since {file} is none;"
            f" choose another with {DATA_DIR_VARIABLE}",
            element=str(path),
        )
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=True)
        if mode == _SECRET and path.stat().st_mode & 0o077:
            path.chmod(_SECRET)
    except OSError as exc:
        raise errors.DirectoryUnusable(
            f"{path} can't be made: {exc.strerror or exc}; choose another with {DATA_DIR_VARIABLE}",
            element=str(path),
        ) from exc
    if not os.access(path, os.W_OK | os.X_OK):
        raise errors.DirectoryUnusable(
            f"{path} is not writable for this user; choose another with {DATA_DIR_VARIABLE}",
            element=str(path),
        )
    return path


def _not_a_directory(path: Path) -> Path | None:
    """Find what stands where *path*, or a directory above it, should be."""
    for place in (path, *path.parents):
        with contextlib.suppress(OSError):  # one look: another process may be making it
            return None if stat.S_ISDIR(place.stat().st_mode) else place
    return None
