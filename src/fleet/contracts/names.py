"""
Device ids and deployment names.

Both are RFC 1123 labels: 1 to 63 characters of ``[a-z0-9-]``, beginning and
ending alphanumeric. They become tokens of NATS subjects and parts of container
names, where a dot, a wildcard or a space would change the meaning, so nothing
unvalidated ever reaches a key.
"""

import re
import string
from typing import ClassVar, Self

from fleet import errors

LABEL_PATTERN = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL_MAX_LENGTH = 63

_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_ALPHANUMERIC = frozenset(string.ascii_lowercase + string.digits)
_ALLOWED = _ALPHANUMERIC | {"-"}


class _Label(str):
    """A `str` that is known to be an RFC 1123 label."""

    __slots__ = ()
    kind: ClassVar[str]

    def __new__(cls, value: str) -> Self:
        """
        Check *value*.

        :raises errors.InvalidName: with the rule that it breaks.
        """
        if type(value) is cls:
            return value
        if not _LABEL.fullmatch(value):
            broken = _broken_rule(value)
            raise errors.InvalidName(f"{value!r} is not a {cls.kind}: {broken}", element=str(value))
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class DeviceId(_Label):
    """The id of a device."""

    __slots__ = ()
    kind = "device id"


class DeploymentName(_Label):
    """The name of a deployment, unique across the cluster."""

    __slots__ = ()
    kind = "deployment name"


def _broken_rule(value: str) -> str:
    if not value:
        return "it is empty"
    if len(value) > LABEL_MAX_LENGTH:
        return f"it has {len(value)} characters, {LABEL_MAX_LENGTH} are allowed"
    for character in value:
        if character not in _ALLOWED:
            return f"{character!r} is not a lower-case letter, a digit or '-'"
    if value[0] not in _ALPHANUMERIC or value[-1] not in _ALPHANUMERIC:
        return "it must begin and end with a lower-case letter or a digit"
    return ""
