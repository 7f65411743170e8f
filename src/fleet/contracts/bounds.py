"""
How much a message may be, and what of it may be shown: the one place that says so.

Whoever decodes a value of a bucket checks it here first. Too many bytes, or too deep
a nesting, are refused before anything is built of them. A text that people read is
never a reason to refuse: it is cut, and what a terminal would act on is replaced.
A time is compared with the server's of the message, and replaced by it where it is
too far off: many devices have no clock.
"""

import re
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Annotated, Final

from msgspec import Meta

from fleet import errors
from fleet.contracts import kv

# What the server takes as one message, its headers included. The largest are scores; a state of
# the most services, each field as long as it may be, has half of what is allowed.
MAX_MESSAGE_BYTES: Final = MappingProxyType(
    {
        kv.BUCKET_DESIRED_STATE: 256 * 1024,
        kv.BUCKET_DEVICE_INFO: 64 * 1024,
        kv.BUCKET_DEVICE_STATE: 64 * 1024,
        kv.BUCKET_DEVICE_HEARTBEAT: 4 * 1024,
    }
)
HEADER_BYTES: Final = 1024
# The deepest message is a score with a list in a service, at seven.
MAX_DEPTH: Final = 32
WINDOW: Final = timedelta(minutes=10)

MAX_TEXT: Final = 1024
MAX_WORD: Final = 256
MAX_ITEMS: Final = 256

_INT64: Final = 2**63
# What Kubernetes can hold: it refuses a whole status for one number beyond.
Int64 = Annotated[int, Meta(ge=-_INT64, le=_INT64 - 1)]
# What is compared, and so can't be cut.
Identity = Annotated[str, Meta(max_length=MAX_WORD)]

_CUT: Final = "…"
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"
# A string (the last one may lack its end), or one step down or up.
_JSON_STEP: Final = re.compile(rb'"(?:[^"\\]+|\\.)*"?|([\[{])|[\]}]', re.DOTALL)


def max_value_bytes(bucket: str) -> int:
    """Say how many bytes a value of *bucket* may have, where its headers want some as well."""
    return MAX_MESSAGE_BYTES[bucket] - HEADER_BYTES


def check_value(bucket: str, data: bytes) -> None:
    """
    Check what stands in a bucket before it is decoded.

    :raises errors.ValueTooLarge: too many bytes, or too deep a nesting.
    """
    most = MAX_MESSAGE_BYTES[bucket]
    if len(data) > most:
        raise errors.ValueTooLarge(f"{len(data)} bytes; {most} are allowed")
    if is_deeper(data, MAX_DEPTH):
        raise errors.ValueTooLarge(f"nested deeper than {MAX_DEPTH}")


def is_deeper(data: bytes, most: int) -> bool:
    """Tell whether JSON is nested deeper than *most*, in time linear in its length."""
    if data.count(b"[") + data.count(b"{") <= most:
        return False
    depth = 0
    for step in _JSON_STEP.finditer(data):
        if step[1]:
            depth += 1
            if depth > most:
                return True
        elif step[0][:1] != b'"':
            depth -= 1
    return False


def shown(text: str, most: int = MAX_TEXT) -> str:
    """Make one line of *text*, of at most so many characters, that is safe to show anywhere."""
    if len(text) > most:
        text = text[: most - 1] + _CUT
    if text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def is_near(told: datetime, at: datetime) -> bool:
    """Tell whether a device's own time can be right, where the server's of the message is *at*."""
    return abs(told - at) <= WINDOW


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character in "\t\n\r" else _UNPRINTABLE
