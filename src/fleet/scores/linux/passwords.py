"""
Hashes of passwords, as ``/etc/shadow`` has them: by libcrypt, the library that logs people in.

It knows each scheme that its distribution uses, so that a password that somebody set by hand is
known again. Python's own module for it is gone with 3.13.
"""

import ctypes
import hmac
import secrets

from fleet import errors

_LIBRARIES = ("libcrypt.so.1", "libcrypt.so.2")  # Debian's and SUSE's name, and Fedora's and Arch's
_SCHEME = "$6$rounds=100000$"  # SHA-512: the strongest that every libcrypt in use knows


def hashed(password: str) -> str:
    """Hash *password* with a salt of its own."""
    found = _crypt(password, f"{_SCHEME}{secrets.token_hex(8)}$")
    if not found.startswith(_SCHEME):
        raise errors.HostUnsupported("libcrypt of this machine has no SHA-512", element="libcrypt")
    return found


def verifies(password: str, known: str) -> bool:
    """Tell whether *known* is the hash of *password*. What is no hash is that of none."""
    return known.startswith("$") and hmac.compare_digest(
        _crypt(password, known).encode(), known.encode()
    )


def _crypt(password: str, setting: str) -> str:
    crypt = _library().crypt
    crypt.restype = ctypes.c_char_p
    crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    answer: bytes | None = crypt(password.encode(), setting.encode())
    return "*" if answer is None else answer.decode()


def _library() -> ctypes.CDLL:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    what = f"this machine has no libcrypt ({' or '.join(_LIBRARIES)}), which hashes passwords"
    raise errors.HostUnsupported(what, element="libcrypt")
