"""`lab.images.cloud.catalogue`: which images there are, and what no image can be."""

import json

import pytest

from fleet.scores.linux.architecture import Arch
from lab.errors import NothingThere, TopologyInvalid
from lab.images.cloud import build, catalogue
from lab.images.cloud.catalogue import Image

ENTRY = "images:\n  - {{name: x, arch: x86_64, release: bookworm, size: 1024, source: {}}}\n"


def test_the_schema_that_is_published_is_the_one_that_is_meant():
    assert json.loads(catalogue.SCHEMA.read_text()) == catalogue.schema()


@pytest.mark.parametrize("arch", Arch)
def test_every_architecture_has_an_image(arch: Arch):
    assert catalogue.default(arch).name == f"debian-12-{arch}"


def test_an_unknown_image_is_refused_with_those_there_are():
    with pytest.raises(NothingThere) as caught:
        catalogue.find("debian-1")

    assert "debian-12-x86_64" in caught.value.hint


@pytest.mark.parametrize(
    "source",
    ["{kind: found}", "{kind: download, url: 'http://x'}",
     "{kind: download, url: 'http://x', sha256: abc}", "{kind: built, url: 'http://x'}"],
)  # fmt: skip
def test_a_source_that_makes_no_sense_is_refused_with_its_line(source: str):
    with pytest.raises(TopologyInvalid, match=r"images\.yaml:2: "):
        catalogue.parse(ENTRY.format(source), "images.yaml")


@pytest.mark.parametrize(
    ("half", "other"), [("signature", "keyring"), ("keyring", "signature")]
)  # fmt: skip
def test_a_signature_without_keys_is_refused_and_keys_without_one_too(half: str, other: str):
    source = f"{{kind: download, url: 'http://x', sha256: {'ab' * 32}, {half}: y}}"

    with pytest.raises(TopologyInvalid, match=rf"images\.yaml:2: .*a {half} goes with a {other}"):
        catalogue.parse(ENTRY.format(source), "images.yaml")


def test_a_download_is_found_by_its_digest_alone():
    digest = "ab" * 32
    source = f"{{kind: download, url: 'http://x/y', sha256: {digest}}}"
    (image,) = catalogue.parse(ENTRY.format(source), "images.yaml").images

    from lab.images.cloud import cache  # noqa: PLC0415 - what it is about

    assert cache.digest_of(image) == digest


def test_images_of_another_architecture_release_or_size_are_other_images():
    first = catalogue.default(Arch.X86_64)
    others = [
        catalogue.default(Arch.AARCH64),
        catalogue.find("debian-13-x86_64"),
        Image(
            name=first.name, arch=first.arch, release=first.release, size=4096, source=first.source
        ),
    ]

    assert len({build.described(image) for image in (first, *others)}) == 4
