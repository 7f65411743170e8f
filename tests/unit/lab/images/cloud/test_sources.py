"""`lab.images.cloud.sources`: the host's own sources of packages, for another release."""

import pytest

from lab.errors import PreflightFailed
from lab.images.cloud import sources

STANZAS = """\
Types: deb
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Architectures: amd64

Types: deb
URIs: http://mirror.example/security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://other.example/tool
Suites: stable
Components: main
"""
LINES = """\
# deb http://mirror.example/debian bookworm main
deb [arch=amd64] http://mirror.example/debian bookworm main
deb http://other.example/tool stable main
"""


def test_stanzas_of_the_hosts_release_are_rewritten_and_others_left_out():
    found = sources.for_release([STANZAS], "bookworm", "trixie")

    assert "Suites: trixie trixie-updates" in found
    assert "Suites: trixie-security" in found
    assert "other.example" not in found
    assert "bookworm" not in found


def test_an_architecture_that_is_named_is_not_kept():
    assert "Architectures" not in sources.for_release([STANZAS], "bookworm", "bookworm")


@pytest.mark.parametrize("word", ["no", "No", "false", "off"])
def test_a_stanza_that_is_switched_off_is_left_out(word: str):
    off = STANZAS.replace("Types: deb\n", f"Types: deb\nEnabled: {word}\n", 1)

    found = sources.for_release([off], "bookworm", "trixie")

    assert "mirror.example/debian" not in found
    assert "mirror.example/security" in found


def test_a_stanza_that_is_switched_on_is_one_like_others():
    on = STANZAS.replace("Types: deb\n", "Types: deb\nEnabled: yes\n", 1)

    assert "mirror.example/debian" in sources.for_release([on], "bookworm", "trixie")


def test_lines_serve_where_there_are_no_stanzas():
    found = sources.for_release([LINES], "bookworm", "trixie")

    assert found == "deb http://mirror.example/debian trixie main\n"


def test_a_host_without_a_source_for_its_release_is_refused():
    with pytest.raises(PreflightFailed, match="apt has no source for bookworm here"):
        sources.for_release(["deb http://mirror.example/x noble main"], "bookworm", "trixie")
