"""
Hardware addresses of network interfaces.

A `MacAddress` is the address of one interface: never a group's, never nobody's. However it was
spelled, it is kept in lower case with colons, as libvirt and the kernel write it, so that two that
are equal are equal as text.
"""

import hashlib
import re
from typing import Self

from fleet import errors

_SPELLINGS = (
    re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", re.ASCII),
    re.compile(r"[0-9a-f]{2}(-[0-9a-f]{2}){5}", re.ASCII),
    re.compile(r"[0-9a-f]{4}(\.[0-9a-f]{4}){2}", re.ASCII),
)
_DIGITS = 12
_GROUP = 0x01  # the bit of the first byte by which a frame is for many
_QEMU = "525400"  # the prefix by which people know a virtual machine; locally administered


class MacAddress(str):
    """A `str` that is known to be the hardware address of one interface."""

    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        """
        Check *value*, spelled ``52:54:00:12:34:56``, with dashes, or ``5254.0012.3456``.

        :raises errors.InvalidMac: with the rule that it breaks.
        """
        spelled = str(value).lower()
        digits = re.sub(r"[-:.]", "", spelled)
        broken = _broken_rule(spelled, digits)
        if broken:
            raise errors.InvalidMac(
                f"{value!r} is not a hardware address: {broken}", element=str(value)
            )
        return super().__new__(cls, ":".join(re.findall("..", digits)))

    @classmethod
    def of(cls, *seed: str) -> Self:
        """Derive an address from *seed*, the same each time: ``MacAddress.of("lab", "dev-01")``."""
        digest = hashlib.sha256("\0".join(seed).encode()).hexdigest()
        return cls(":".join(re.findall("..", _QEMU + digest[: _DIGITS - len(_QEMU)])))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


def _broken_rule(spelled: str, digits: str) -> str:
    if not spelled:
        return "it is empty"
    if not any(spelling.fullmatch(spelled) for spelling in _SPELLINGS):
        return "write six pairs of hexadecimal digits with colons, like 52:54:00:12:34:56"
    if int(digits, 16) == 0:
        return "all zeros is nobody's address"
    if digits == "f" * _DIGITS:
        return "that is everybody's address (broadcast)"
    if int(digits[:2], 16) & _GROUP:
        return f"its first byte, {digits[:2]}, is odd: that is the address of a group (multicast)"
    return ""
