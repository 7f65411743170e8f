"""How the values of this package travel to a device, as JSON: one way there, one way back."""

from pathlib import PurePath
from typing import Any, TypeVar

import msgspec

from fleet import errors

T = TypeVar("T", bound=msgspec.Struct)


def encode(value: msgspec.Struct) -> bytes:
    """Write *value* as JSON."""
    return msgspec.json.encode(value, enc_hook=_written)


def decode(data: bytes, kind: type[T]) -> T:
    """
    Read a *kind* from JSON.

    :raises errors.InvalidConfig: it isn't one; the message says where.
    """
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_read)
    except msgspec.DecodeError as exc:
        raise errors.InvalidConfig(f"not a {kind.__name__}: {exc}") from exc


def _written(value: Any) -> Any:
    if isinstance(value, (PurePath, str)):  # msgspec knows no subclass of a string
        return str(value)
    raise NotImplementedError(f"{type(value).__name__} doesn't travel")


def _read(kind: type, value: Any) -> Any:
    if not isinstance(value, str):
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")
    return kind(value)
