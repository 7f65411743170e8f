"""The invoke tasks of snapshots. They parse, call and show."""

import json
import time
from typing import Any

from invoke.context import Context
from invoke.tasks import task

from lab.console import invocation, output
from lab.console.invocation import FORMAT, NAME, PATIENCE, told_errors
from lab.console.output import Progress
from lab.host import labs
from lab.snapshots import archive, procedure, report, site

_HELP = {
    "name": NAME,
    "snapshot": f"name of the snapshot (default: {archive.DEFAULT})",
    "format": FORMAT,
}


@task(help={**_HELP, "list": "only show the snapshots that there are"})
def snapshot(
    _: Context,
    name: str = "",
    snapshot: str = archive.DEFAULT,
    list: bool = False,  # noqa: A002 - the option's name
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Take a snapshot of the whole lab, which goes on afterwards. Needs root."""
    with told_errors():
        labs.require_root("lab.snapshot")
        archive.require_name(snapshot)
        known, as_json = labs.require(invocation.name_of(name)), invocation.is_json(format)
        shelf = site.archive_of(known.host)
        if list:
            found = [shelf.find(each).manifest for each in shelf.names()]
            _show(report.listed(found), as_json=as_json, table=lambda: report.shelf(found))
            return
        begun = time.monotonic()
        with (
            _progress(as_json=as_json) as progress,
            labs.held(known.host.name, f"lab.snapshot --name {known.host.name}", within=PATIENCE,
                      saw=progress.waits),
        ):  # fmt: skip
            invocation.log_to(known.host)
            here = site.of(known, progress)
            done = procedure.take(here, shelf, snapshot, known.host.name, progress.waits)
        took = time.monotonic() - begun
        _show(report.told(done, took), as_json=as_json, table=lambda: report.taken(done, took))


@task(help={**_HELP, "dry-run": "only tell (LAB_DRY_RUN)"})
def reset(
    _: Context,
    name: str = "",
    snapshot: str = archive.DEFAULT,
    dry_run: bool = False,
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Bring the whole lab back to a snapshot of it, however broken it is. Needs root."""
    with told_errors():
        labs.require_root("lab.reset")
        archive.require_name(snapshot)
        known, as_json = labs.require(invocation.name_of(name)), invocation.is_json(format)
        shelf = site.archive_of(known.host)
        begun = time.monotonic()
        with (
            _progress(as_json=as_json) as progress,
            labs.held(known.host.name, f"lab.reset --name {known.host.name}", within=PATIENCE,
                      saw=progress.waits),
        ):  # fmt: skip
            here = site.of(known, progress)
            if dry_run or invocation.is_set("LAB_DRY_RUN"):
                found = procedure.check(here, shelf, snapshot).manifest
                _show(report.described(found), as_json=as_json, table=lambda: report.would(found))
                return
            invocation.log_to(known.host)
            done = procedure.restore(here, shelf, snapshot, progress.waits)
        took = time.monotonic() - begun
        _show(report.told(done, took), as_json=as_json, table=lambda: report.restored(done, took))


def _progress(*, as_json: bool) -> Progress:
    """Show progress where it doesn't come between the lines of an object."""
    return Progress(to=output.errors) if as_json else Progress()


def _show(told: Any, *, as_json: bool, table: Any) -> None:
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        table()
