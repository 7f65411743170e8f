"""
Checks who published a file: by a detached OpenPGP signature, and a keyring beside the catalogue.

What gpgv finds is read from its status lines (GnuPG's doc/DETAILS), not from its words.
"""

import re
import shutil
from pathlib import Path

from lab.errors import LabError, PreflightFailed
from lab.system import commands

_PROGRAM = "gpgv"
_KEYRINGS = Path(__file__).parent
_ARMOUR = b"-----BEGIN PGP"
_STATUS = re.compile(r"^\[GNUPG:\] (\S+) ?(.*)$", re.MULTILINE)
_MEANING = {
    "BADSIG": "the file or the signature was altered",
    "NO_PUBKEY": "made by a key that isn't in the keyring",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
    "EXPSIG": "the signature has expired",
    "NODATA": "it is no signature",
}


class SignatureRefused(LabError):
    """A signature isn't a good one, of a key that may make it."""


class KeyringInvalid(LabError):
    """A keyring isn't there, or gpgv can't read it."""


def require(keyring: str) -> Path:
    """
    Return the file of *keyring*, when a signature can be checked with it.

    :raises PreflightFailed: gpgv is not installed.
    :raises KeyringInvalid: the keyring is missing, or armoured.
    """
    if shutil.which(_PROGRAM) is None:
        message = f"checking a signature takes {_PROGRAM}"
        raise PreflightFailed(message, element=_PROGRAM, hint=f"apt-get install {_PROGRAM}")
    path = _KEYRINGS / keyring
    try:
        with path.open("rb") as file:
            begins = file.read(len(_ARMOUR))
    except OSError as exc:
        message = f"the keyring {path} can't be read: {exc.strerror}"
        hint = "the catalogue's keyrings lie beside it; export one with `gpg --export KEY`"
        raise KeyringInvalid(message, element=keyring, hint=hint) from exc
    if begins == _ARMOUR:
        message = f"the keyring {path} is armoured, which {_PROGRAM} can't read"
        hint = f"gpg --dearmor < {path} > FILE, and name that one"
        raise KeyringInvalid(message, element=keyring, hint=hint)
    return path


def check(file: Path, signature: Path, keyring: str, where: str) -> None:
    """
    See that *signature* is a good one of *file*, which came from *where*, by a key of *keyring*.

    :raises SignatureRefused: it isn't; says why.
    :raises PreflightFailed: gpgv is not installed.
    :raises KeyringInvalid: the keyring is missing, or armoured.
    """
    keys = require(keyring)
    answer = commands.ask(
        _PROGRAM, "--status-fd", "1", "--keyring", str(keys), str(signature), str(file), within=600
    )
    said = dict(_STATUS.findall(answer.out))
    if answer.ok and "VALIDSIG" in said:
        return
    why = [meaning for word, meaning in _MEANING.items() if word in said]
    reason = why[0] if why else answer.err.strip()
    raise SignatureRefused(
        f"the signature of {where} isn't good by {keyring}: {reason}",
        element=where,
        hint="it was replaced upstream, or altered on the way: compare with what was published",
    )
