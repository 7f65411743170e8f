"""Tells what came of taking or restoring a snapshot: as a table, or as plain values."""

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.table import Table

from lab.console import output
from lab.snapshots import archive, steps
from lab.snapshots.archive import Manifest
from lab.snapshots.procedure import Result

_MIB = 1 << 20


def described(manifest: Manifest) -> dict[str, Any]:
    """Return what a snapshot is, as plain values."""
    return {**msgspec.to_builtins(manifest), "bytes": manifest.bytes}


def listed(manifests: Sequence[Manifest]) -> list[dict[str, Any]]:
    """Return what snapshots there are, as plain values."""
    return [described(manifest) for manifest in manifests]


def told(done: Result, seconds: float) -> dict[str, Any]:
    """Return what was done, as plain values."""
    return {
        "snapshot": described(done.snapshot.manifest),
        "path": str(done.snapshot.places.root),
        "seconds": round(seconds, 2),
        "steps": msgspec.to_builtins(done.took),
        "heard": {device: at.isoformat() for device, at in done.heard.items()},
    }


def taken(done: Result, seconds: float) -> None:
    """Show what was taken, and what to type next."""
    manifest = done.snapshot.manifest
    _parts(done)
    where = done.snapshot.places.root
    output.console.print(
        f"snapshot [bold]{manifest.name}[/] of lab {manifest.lab}: {_mebibytes(manifest.bytes)} in "
        f"{where}, taken in {seconds:.1f} s; the lab goes on"
    )
    _next(f"lab.reset{_options(manifest)}    # brings the lab back to it, however broken it is")


def restored(done: Result, seconds: float) -> None:
    """Show what was restored, and what to type next."""
    manifest = done.snapshot.manifest
    _parts(done)
    heard = ", ".join(sorted(done.heard))
    output.console.print(
        f"lab [bold]{manifest.lab}[/] is back at snapshot {manifest.name} of {_when(manifest)}, in "
        f"{seconds:.1f} s; heard since: {heard or 'no device, since it has none'}"
    )
    name = "" if manifest.lab == "default" else f" --name {manifest.lab}"
    _next(f"lab.status{name}")


def would(manifest: Manifest) -> None:
    """Show what restoring would do."""
    output.console.print(
        f"snapshot {manifest.name} of {_when(manifest)} fits: lab {manifest.lab} would go back to "
        f"it, and lose what came since"
    )
    _next(f"lab.reset{_options(manifest)}")


def shelf(manifests: Sequence[Manifest]) -> None:
    """Show what snapshots there are."""
    if not manifests:
        output.console.print("there is no snapshot: invoke lab.snapshot takes one")
        return
    table = Table("snapshot", "taken", "size", "machines", "key")
    for each in manifests:
        machines = ", ".join(sorted(each.boots)) or "none"
        table.add_row(each.name, _when(each), _mebibytes(each.bytes), machines, each.key.digest)
    output.console.print(table)


def _parts(done: Result) -> None:
    sizes = {part.part: part.bytes for part in done.snapshot.manifest.parts}
    table = Table("part", "seconds", "size")
    for part, seconds in steps.by_part(done.took).items():
        size = _mebibytes(sizes[part]) if part in sizes else ""
        table.add_row(part, f"{seconds:.1f}", size)
    output.console.print(table)


def _next(command: str) -> None:
    output.console.print(f"\nNext:\n  ./dev invoke {command}", markup=False)


def _options(manifest: Manifest) -> str:
    name = "" if manifest.lab == "default" else f" --name {manifest.lab}"
    own = "" if manifest.name == archive.DEFAULT else f" --snapshot {manifest.name}"
    return name + own


def _when(manifest: Manifest) -> str:
    return f"{manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC"


def _mebibytes(size: int) -> str:
    return f"{size / _MIB:,.1f} MiB"
