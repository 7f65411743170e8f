"""The commands about images, as somebody types them, on a cache with one image."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from invoke.context import Context
from invoke.exceptions import Exit

from lab.images.cloud import cache, catalogue
from lab.images.cloud.cache import Stored
from lab.images.cloud.catalogue import Image
from lab.tasks import images
from tests.lab_host import needs

pytestmark = needs("qemu-img")


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """Put back how this process logs: a command decides that for itself."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def rows(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what was printed, as JSON."""
    return json.loads(capsys.readouterr().out)


def test_a_dry_pull_tells_what_it_would_do_and_does_nothing(
    image: Image, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(catalogue, "known", lambda: (image,))

    images.pull(Context(), name=["x"], dry_run=True)

    assert "x: would fetch it" in capsys.readouterr().out
    assert cache.stored(image) is None


def test_an_image_that_is_there_is_pulled_by_saying_where(
    bootable: Stored, capsys: pytest.CaptureFixture[str]
):
    images.pull(Context(), name=["x"])

    assert bootable.digest in capsys.readouterr().out.replace("\n", "")


def test_what_is_fetched_is_not_built(bootable: Stored, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(Exit):
        images.build(Context(), name=[bootable.image.name])

    said = capsys.readouterr()
    assert "fetched, and not built" in said.out + said.err
    assert "images.pull --name x" in said.out + said.err


def test_a_damaged_image_is_a_row_with_its_damage_and_a_failure(
    bootable: Stored, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(Exit):
        images.verify(Context(), format="json")

    (row,) = rows(capsys)
    assert row["name"] == "x"
    assert row["digest"] == bootable.digest
    assert row["damage"].startswith("disk.qcow2 is damaged; now in ")


def test_what_goes_is_told_beforehand_and_then_goes(
    bootable: Stored, capsys: pytest.CaptureFixture[str]
):
    images.collect(Context(), format="json")
    assert rows(capsys) == []  # the catalogue names it

    images.collect(Context(), all=True, dry_run=True, format="json")
    (row,) = rows(capsys)
    assert (row["kind"], Path(row["path"]), row["removed"]) == ("image", bootable.directory, False)
    assert bootable.disk.exists()

    images.collect(Context(), all=True, format="json")
    (row,) = rows(capsys)
    assert row["removed"]
    assert not bootable.disk.exists()
