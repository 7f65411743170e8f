"""What each family installs, and how: word for word."""

import json
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.linux import families
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.families import Family, Purpose
from fleet.scores.linux.machine import Answer

GOLDEN = Path(__file__).parent / "golden"
INSTALLING = [family for family in Family if family is not Family.NIXOS]


def _commands(family):
    names = ("one", "two")
    return {
        "query": families.query(family, names),
        "install": families.install(family, names),
        "refresh": families.refresh(family),
        "packages": {
            f"{purpose} on {arch}": families.packages(purpose, family, arch)
            for purpose in Purpose
            for arch in Arch
        },
    }


@pytest.mark.parametrize("family", INSTALLING)
def test_the_commands_and_packages_of_a_family(family):
    golden = json.loads((GOLDEN / f"{family}.json").read_text())
    assert json.loads(json.dumps(_commands(family))) == golden


@pytest.mark.parametrize(
    ("release", "family"),
    [
        ('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n', Family.DEBIAN),
        ("ID=ubuntu\nID_LIKE=debian\n", Family.DEBIAN),
        ("ID=raspbian\nID_LIKE=debian\n", Family.DEBIAN),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', Family.DEBIAN),
        ("ID=fedora\n", Family.FEDORA),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', Family.FEDORA),
        ('ID="rhel"\nID_LIKE="fedora"\n', Family.FEDORA),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', Family.SUSE),
        ('ID="sles"\nID_LIKE="suse"\n', Family.SUSE),
        ("ID=arch\n", Family.ARCH),
        ("ID=manjaro\nID_LIKE=arch\n", Family.ARCH),
        ("# a comment\n\nID=nixos # another\n", Family.NIXOS),
        ("ID='debian'\nBROKEN=\"no end\n", Family.DEBIAN),
    ],
)
def test_a_machine_says_what_it_is_or_is_like(release, family):
    assert families.parse(release).family is family


@pytest.mark.parametrize("release", ["ID=alpine\n", "", "ID=\n"], ids=repr)
def test_a_machine_of_no_known_family_is_refused(release):
    with pytest.raises(errors.HostUnsupported, match="not a distribution that we know how to"):
        _ = families.parse(release).family


@pytest.mark.parametrize("purpose", Purpose)
def test_nixos_is_told_the_line_for_each_purpose(purpose):
    with pytest.raises(errors.HostUnsupported, match=r"(?s)configuration.*\n  \S+ = true;"):
        families.packages(purpose, Family.NIXOS, Arch.X86_64)


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        (
            Family.DEBIAN,
            Answer(1, b"here installed\nhalf half-configured\ngone config-files\n", b"no packages"),
        ),
        (
            Family.FEDORA,
            Answer(2, b"here installed\npackage half is not installed\npackage gone is not\n"),
        ),
        (Family.SUSE, Answer(2, b"here installed\npackage half is not installed\n")),
        (Family.ARCH, Answer(127, b"half\ngone\n")),
    ],
)
def test_what_is_missing_is_told_by_each_family_s_own_words(family, answer):
    assert families.missing(family, ("here", "half", "gone"), answer) == ("half", "gone")
