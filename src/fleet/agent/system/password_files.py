"""Passwords in files of their own, read at each use: a rotated one needs no restart."""

from pathlib import Path

from fleet import errors

_OPEN_TO_OTHERS = 0o077


def read(path: Path) -> str:
    """
    Read the password in *path*, without the end of its line.

    :raises errors.InvalidConfig: it can't be read, is empty, or others may read it too.
    """
    try:
        if path.stat().st_mode & _OPEN_TO_OTHERS:
            raise errors.InvalidConfig(f"{path} is open to others: chmod 600", element=str(path))
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except UnicodeDecodeError as exc:
        raise errors.InvalidConfig(f"{path} is not UTF-8", element=str(path)) from exc
    except OSError as exc:
        raise errors.InvalidConfig(f"{path}: {exc.strerror}", element=str(path)) from exc
    if not password:
        raise errors.InvalidConfig(f"{path} is empty", element=str(path))
    return password
