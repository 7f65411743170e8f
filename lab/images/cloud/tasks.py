"""The invoke tasks of cloud images. They parse, call and show."""

import json
from collections.abc import Sequence
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.table import Table

from lab import showing
from lab.images.cloud import cache, catalogue, leftovers, overlays
from lab.images.cloud.cache import Stored
from lab.images.cloud.catalogue import Built, Image
from lab.invoking import told_errors

_NAMES = {"name": "an image of the catalogue (may be repeated; default: those of Debian 12)"}


@task(name="list", help={"format": "table or json"})
def show(_: Context, format: str = "table") -> None:  # noqa: A002 - the option's name
    """Show the images that there are, and which lie in the cache."""
    with told_errors():
        rows = [_described(image) for image in catalogue.known()]
        if format == "json":
            print(json.dumps(rows, indent=2))
            return
        table = Table("image", "arch", "release", "source", "in the cache")
        for row in rows:
            table.add_row(*(str(row[key]) for key in ("name", "arch", "release", "source")),
                          _cell(row))  # fmt: skip
        showing.console.print(table)


@task(help=_NAMES, iterable=["name"])
def pull(_: Context, name: Sequence[str] | None = None) -> None:
    """Have images in the cache: fetch them, or build them from packages. Needs root to build."""
    with told_errors(), showing.Progress() as progress:
        for image in _chosen(name):
            stored = cache.ensure(image, progress.waits)
            showing.console.print(f"{image.name}: {stored.directory}")


@task(help=_NAMES, iterable=["name"])
def verify(_: Context, name: Sequence[str] | None = None) -> None:
    """Hash the images in the cache; one that is damaged is set aside, and made anew when needed."""
    with told_errors():
        damaged = 0
        for image in _chosen(name) if name else catalogue.known():
            stored = cache.stored(image)
            if stored is None and not cache.is_incomplete(image):
                continue
            found = _dealt_with(stored) if stored else "incomplete: made anew when next needed"
            damaged += bool(found)
            showing.console.print(f"{image.name}: {found or 'whole'}")
        if damaged:
            raise Exit(code=1)


@task(name="gc", help={"dry-run": "only tell", "all": "also those that the catalogue names"})
def collect(_: Context, dry_run: bool = False, all: bool = False) -> None:  # noqa: A002
    """Remove images that no disk of any lab stands on."""
    with told_errors():
        found = [each for each in leftovers.find() if all or not each.is_current]
        for each in found:
            gone = not dry_run and leftovers.remove(each)
            word = "removed" if gone else "would remove" if dry_run else "kept"
            showing.console.print(f"{word} {each.path} ({each.bytes >> 20} MiB)")
        if not found:
            showing.console.print("no image is left over")


def collection() -> Collection:
    """Return the tasks, to be added as ``images``."""
    return Collection("images", show, pull, verify, collect)


def _chosen(names: Sequence[str] | None) -> Sequence[Image]:
    if names:
        return [catalogue.find(name) for name in names]
    return [image for image in catalogue.known() if image.release == "bookworm"]


def _dealt_with(stored: Stored) -> str:
    """Set an image aside if it is damaged and no disk stands on it, and say so."""
    damage = "; ".join(cache.verify(stored))
    if not damage:
        return ""
    if disks := overlays.standing_on(stored.disk):
        return f"{damage}; left where it is: {disks} stand on it; take their labs down"
    return f"{damage}; now in {cache.set_aside(stored)}"


def _described(image: Image) -> dict[str, Any]:
    stored = cache.stored(image)
    return {
        "name": image.name,
        "arch": str(image.arch),
        "release": image.release,
        "source": "built" if isinstance(image.source, Built) else image.source.url,
        "digest": cache.digest_of(image),
        "path": str(stored.directory) if stored else None,
    }


def _cell(row: dict[str, Any]) -> str:
    return row["digest"][:12] if row["path"] else f"no: invoke images.pull --name {row['name']}"
