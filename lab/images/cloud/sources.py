"""
Where packages come from: this host's own apt configuration, for another release if need be.

No address of a mirror stands in this tree. What the host trusts for its own release is trusted for
another one of the same distribution.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from lab.errors import PreflightFailed

_APT = Path("/etc/apt")
_SUITES = re.compile(r"^Suites:(.*)$", re.MULTILINE | re.IGNORECASE)
# The words that apt takes for "no" (strutl.cc, StringToBool).
_DISABLED = re.compile(
    r"^Enabled:[ \t]*(0|no|false|without|off|disable)[ \t]*$", re.MULTILINE | re.IGNORECASE
)
_LINE_ARCH = re.compile(r"\[\s*arch=[^]\s]*\s*\]\s*|\barch=[^]\s]*\s*")
_ARCHITECTURES = re.compile(r"^Architectures:.*\n?", re.MULTILINE | re.IGNORECASE)


def here() -> tuple[str, ...]:
    """Return the texts of all sources of this host."""
    paths = (_APT / "sources.list", *sorted((_APT / "sources.list.d").glob("*")))
    readable = (path for path in paths if path.suffix in {".list", ".sources"} and path.is_file())
    return tuple(path.read_text() for path in readable)


def for_release(texts: Iterable[str], host: str, wanted: str) -> str:
    """
    Rewrite what of *texts* is for the release *host* to be for the release *wanted*.

    :raises PreflightFailed: none is for *host*.
    """
    stanzas: list[str] = []
    lines: list[str] = []
    for text in texts:
        for stanza in re.split(r"\n\s*\n", text):
            if _is_stanza_for(host, stanza):
                stanzas.append(_ARCHITECTURES.sub("", stanza).strip())  # noqa: PERF401 - it reads so
        lines += [
            _LINE_ARCH.sub("", line) for line in text.splitlines() if _is_line_for(host, line)
        ]
    found = "\n\n".join(stanzas) if stanzas else "\n".join(lines)
    if not found:
        raise PreflightFailed(
            f"apt has no source for {host} here, so none for {wanted} either",
            element="apt",
            hint="images are built on Debian; elsewhere bring one as a download",
        )
    return re.sub(rf"\b{re.escape(host)}\b", wanted, found) + "\n"


def suffix(text: str) -> str:
    """Return how the name of a file with the sources *text* ends: apt goes by that."""
    return ".sources" if _SUITES.search(text) else ".list"


def _names(release: str, suites: Iterable[str]) -> bool:
    return any(suite == release or suite.startswith(f"{release}-") for suite in suites)


def _is_stanza_for(release: str, stanza: str) -> bool:
    suites = None if _DISABLED.search(stanza) else _SUITES.search(stanza)
    return suites is not None and _names(release, suites[1].split())


def _is_line_for(release: str, line: str) -> bool:
    words = re.sub(r"\[[^]]*\]", "", line).split()
    return words[:1] == ["deb"] and _names(release, words[2:3])
