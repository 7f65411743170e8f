"""The invoke tasks of cloud images. They parse, call and show."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task
from rich.table import Table

from lab.console import output
from lab.console.invocation import told_errors
from lab.errors import TopologyInvalid
from lab.images.cloud import cache, catalogue, unused_images
from lab.images.cloud.cache import Stored
from lab.images.cloud.catalogue import Built, Image

_NAMES = {"name": "an image of the catalogue (may be repeated; default: those of Debian 12)"}
_FORMAT = "table or json"


@task(name="list", help={"format": _FORMAT})
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
        output.console.print(table)


@task(help={**_NAMES, "dry-run": "only tell"}, iterable=["name"])
def pull(_: Context, name: Sequence[str] | None = None, dry_run: bool = False) -> None:
    """Have images in the cache: fetch them, or build them from packages. Needs root to build."""
    with told_errors():
        _have(_chosen(name), dry_run=dry_run)


@task(help={**_NAMES, "dry-run": "only tell"}, iterable=["name"])
def build(_: Context, name: Sequence[str] | None = None, dry_run: bool = False) -> None:
    """Build images from packages, those that aren't in the cache yet. Needs root."""
    with told_errors():
        images = _chosen(name)
        for image in images:
            if not isinstance(image.source, Built):
                message = f"image {image.name} is fetched, and not built from packages"
                hint = f"invoke images.pull --name {image.name}"
                raise TopologyInvalid(message, element=image.name, hint=hint)
        _have(images, dry_run=dry_run)


@task(help={**_NAMES, "format": _FORMAT}, iterable=["name"])
def verify(
    _: Context,
    name: Sequence[str] | None = None,
    format: str = "table",  # noqa: A002 - the option's name
) -> None:
    """Hash the images in the cache; one that is damaged is set aside, and made anew when needed."""
    with told_errors():
        rows = list(_verified(_chosen(name) if name else catalogue.known()))
        if format == "json":
            print(json.dumps(rows, indent=2))
        else:
            for row in rows:
                output.console.print(f"{row['name']}: {row['damage'] or 'whole'}")
        if any(row["damage"] for row in rows):
            raise Exit(code=1)


@task(
    name="gc",
    help={
        "dry-run": "only tell",
        "all": "also those that the catalogue names",
        "format": _FORMAT,
    },
)
def collect(
    _: Context,
    dry_run: bool = False,
    all: bool = False,  # noqa: A002 - the option's name
    format: str = "table",  # noqa: A002 - the option's name
) -> None:
    """Remove images that no disk of any lab stands on, and what dead builds left."""
    with told_errors():
        found = [each for each in unused_images.find() if all or not each.is_current]
        rows: list[dict[str, Any]] = [
            {"kind": str(each.kind), "path": str(each.path), "bytes": each.bytes,
             "removed": not dry_run and unused_images.remove(each)}
            for each in found
        ]  # fmt: skip
        if format == "json":
            print(json.dumps(rows, indent=2))
            return
        for row in rows:
            word = "removed" if row["removed"] else "would remove" if dry_run else "kept"
            output.console.print(f"{word} {row['path']} ({row['bytes'] >> 20} MiB)")
        if not rows:
            output.console.print("no image is left over")


def collection() -> Collection:
    """Return the tasks, to be added as ``images``."""
    return Collection("images", show, pull, build, verify, collect)


def _chosen(names: Sequence[str] | None) -> Sequence[Image]:
    if names:
        return [catalogue.find(name) for name in names]
    return [image for image in catalogue.known() if image.release == "bookworm"]


def _have(images: Sequence[Image], *, dry_run: bool) -> None:
    with output.Progress() as progress:
        for image in images:
            stored = cache.stored(image)
            if stored is None and dry_run:
                word = "build" if isinstance(image.source, Built) else "fetch"
                output.console.print(f"{image.name}: would {word} it")
                continue
            stored = stored or cache.ensure(image, progress.waits)
            output.console.print(f"{image.name}: {stored.directory}")


def _verified(images: Sequence[Image]) -> Iterator[dict[str, str]]:
    """Hash *images*, and yield for each that is there what is wrong with it, if anything."""
    for image in images:
        stored = cache.stored(image)
        if stored is not None:
            yield {"name": image.name, "digest": stored.digest, "damage": _dealt_with(stored)}
        elif cache.is_incomplete(image):
            damage = "incomplete: made anew when next needed"
            yield {"name": image.name, "digest": cache.digest_of(image), "damage": damage}


def _dealt_with(stored: Stored) -> str:
    """Set an image aside if it is damaged and no disk stands on it, and say so."""
    damage = "; ".join(cache.verify(stored))
    if not damage:
        return ""
    try:
        return f"{damage}; now in {cache.set_aside(stored)}"
    except cache.ImageInUse as exc:
        return f"{damage}; left where it is: {exc}; {exc.hint}"


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
