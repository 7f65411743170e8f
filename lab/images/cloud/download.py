"""
Fetches a file of which the digest is known, and goes on where an earlier try broke off.

What was fetched is kept under its digest as ``DIGEST.part``, whoever fetched it. The digest
decides: whatever the server says, a file that hasn't it never gets a name. When the bytes of two
tries don't make the file, it is fetched once more from the start: it may have been replaced.
"""

import contextlib
import errno
import hashlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from lab.errors import LabError
from lab.images.cloud import signatures
from lab.images.cloud.catalogue import Download

PART = ".part"  # what the name of a download ends in that isn't complete

_CHUNK = 1 << 20
_TIMEOUT = 60  # seconds that a server may be silent
_TOLD_EVERY = 32 << 20


class ImageRefused(LabError):
    """What a server gave isn't the file that the catalogue names."""


class DownloadBroken(LabError):
    """A server did not answer, or broke off; what came is kept, and the next try goes on there."""


def fetch(source: Download, target: Path, *, parts: Path, saw: Callable[[str], None]) -> None:
    """
    Make *target* the file of *source*; what isn't complete yet is kept in the directory *parts*.

    :raises DownloadBroken: the server broke off, or the disk is full; the next try goes on there.
    :raises ImageRefused: it is another file.
    :raises SignatureRefused: its signature isn't good; what came is kept.
    :raises KeyringInvalid: the keyring can't be read; nothing was fetched.
    """
    if source.signature:
        signatures.require(source.keyring)
    part = parts / f"{source.sha256}{PART}"
    resumed = part.exists()
    if not resumed or _digest(part) != source.sha256:
        _complete(source, part, saw)
    found = _digest(part)
    if found != source.sha256 and resumed:
        saw("the parts don't fit together: from the start")
        part.unlink()
        _complete(source, part, saw)
        found = _digest(part)
    if found != source.sha256:
        part.unlink()
        raise ImageRefused(
            f"{source.url} has the digest {found}, and not {source.sha256}",
            element=source.url,
            hint="it was replaced upstream, or altered on the way: compare with what was published",
        )
    _check_signature(source, part, saw)
    part.replace(target)


def _complete(source: Download, part: Path, saw: Callable[[str], None]) -> None:
    """Have all of the file in *part*, as far as its server tells how much that is."""
    have = part.stat().st_size if part.exists() else 0
    with _broken(source, part):
        answer = _ask(source.url, have) or _open(source.url, 0)
        while not _receive(answer, source, part, saw) and _digest(part) != source.sha256:
            before, have = have, part.stat().st_size
            more = _ask(source.url, have)
            if more is None:  # there is no more: this is another file
                break
            if more.status != HTTPStatus.PARTIAL_CONTENT or have == before:
                more.close()
                raise HTTPException(f"it ended after {have} bytes, and doesn't say of how many")
            answer = more


def _receive(
    answer: HTTPResponse, source: Download, part: Path, saw: Callable[[str], None]
) -> bool:
    """
    Write what comes to *part*, after what is there if that is what was asked for.

    Return whether it was all that the server has. One that doesn't say how much it sends, and
    breaks off, looks like one that is done.
    """
    goes_on = answer.status == HTTPStatus.PARTIAL_CONTENT
    whole = _length(answer)
    with contextlib.closing(answer), part.open("ab" if goes_on else "wb") as file:
        got = file.tell()
        wanted = None if whole is None else got + whole
        while chunk := answer.read(_CHUNK):
            file.write(chunk)
            got += len(chunk)
            if got % _TOLD_EVERY < len(chunk):
                saw(_progress(source, got, wanted))
    if wanted is not None and got < wanted:
        raise HTTPException(f"it broke off after {got} of {wanted} bytes")
    return wanted is not None or answer.headers.get("Transfer-Encoding") is not None


def _ask(url: str, have: int) -> HTTPResponse | None:
    """Ask for what comes after *have* bytes; nothing when the server says that nothing does."""
    try:
        return _open(url, have)
    except urllib.error.HTTPError as exc:
        if have and exc.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            exc.close()
            return None
        raise


def _open(url: str, have: int) -> HTTPResponse:
    request = urllib.request.Request(url)  # noqa: S310 - the catalogue's own address
    if have:
        request.add_header("Range", f"bytes={have}-")
    answer: HTTPResponse = urllib.request.urlopen(request, timeout=_TIMEOUT)  # noqa: S310
    return answer


@contextlib.contextmanager
def _broken(source: Download, part: Path) -> Iterator[None]:
    try:
        yield
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as exc:
        have = part.stat().st_size if part.exists() else 0
        raise DownloadBroken(
            f"{source.url}: {exc}; {have} bytes are kept",
            element=source.url,
            hint="the same command goes on from there",
        ) from exc
    except OSError as exc:
        if exc.errno != errno.ENOSPC:
            raise
        free = shutil.disk_usage(part.parent).free >> 20
        raise DownloadBroken(
            f"the disk of {part.parent} is full ({free} MiB free) while fetching {source.url}",
            element=source.url,
            hint="make room, or choose another HARMONY_DATA_DIR; the same command goes on",
        ) from exc


def _check_signature(source: Download, part: Path, saw: Callable[[str], None]) -> None:
    if not source.signature:
        return
    saw("checking the signature")
    signature = part.with_suffix(".sig")
    try:
        with _broken(source, part), contextlib.closing(_open(source.signature, 0)) as answer:
            signature.write_bytes(answer.read())
        signatures.check(part, signature, source.keyring, source.url)
    finally:
        signature.unlink(missing_ok=True)


def _progress(source: Download, got: int, wanted: int | None) -> str:
    of = f" of {wanted >> 20}" if wanted else ""
    return f"{source.url}: {got >> 20}{of} MiB"


def _length(answer: HTTPResponse) -> int | None:
    length = answer.headers.get("Content-Length")
    return int(length) if length is not None else None


def _digest(path: Path) -> str:
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()
