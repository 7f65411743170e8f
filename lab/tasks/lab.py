"""
The invoke tasks of the lab. They parse, call and show; what they do is elsewhere.

Options are also read from the environment: ``LAB_NAME``, ``LAB_TOPOLOGY``, ``LAB_FORMAT``,
``LAB_DRY_RUN``. Exit codes are those of `lab.errors`, 130 when interrupted.
"""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from fleet.scores.linux.architecture import Arch
from lab.bench import sites
from lab.console import device_shell, logs, output
from lab.console.invocation import (
    FORMAT,
    NAME,
    PATIENCE,
    is_json,
    is_set,
    log_to,
    name_of,
    told_errors,
)
from lab.doctor import examination, machine_preflight
from lab.errors import LabError, TopologyInvalid
from lab.host import labs, network
from lab.housekeeping import removal, unused_caches
from lab.images.cloud import cache, catalogue
from lab.lifecycle import assembly, bring_up, demo, stages, take_down, topology
from lab.lifecycle import status as statuses
from lab.tasks import snapshots


@task(
    help={
        "topology": "name or file (LAB_TOPOLOGY; default: smoke)",
        "name": NAME,
        "dry-run": "only tell",
    }
)
def up(_: Context, topology: str = "", name: str = "", dry_run: bool = False) -> None:
    """Bring the lab up, or repair it; changes nothing where all is well. Needs root."""
    with told_errors():
        labs.require_root("lab.up")
        _up(
            name_of(name),
            topology or os.environ.get("LAB_TOPOLOGY", ""),
            dry_run=dry_run or is_set("LAB_DRY_RUN"),
        )


@task(help={"name": NAME})
def down(_: Context, name: str = "") -> None:
    """Take the lab down: all that its ledger says is ours, and nothing else. Needs root."""
    with told_errors():
        labs.require_root("lab.down")
        _down(name_of(name))


@task(help={"name": NAME, "format": FORMAT})
def status(_: Context, name: str = "", format: str = "") -> None:  # noqa: A002 - the option's name
    """Show how far the lab is up, its parts and its devices."""
    with told_errors():
        found = statuses.status(name_of(name))
        if is_json(format):
            print(json.dumps(found, indent=2))
        else:
            output.tables(found)
            output.remedy(found)


@task(
    name="logs",
    help={
        "part": "of one part; left out, the last lines of all",
        "follow": "go on until interrupted",
        "name": NAME,
    },
)
def show_logs(_: Context, part: str = "", follow: bool = False, name: str = "") -> None:
    """Show the log of a part, or the last lines of all."""
    with told_errors():
        chosen = logs.choose(labs.state_of(name_of(name)) / "logs", part)
        logs.show(chosen, sys.stdout)
        if follow:
            logs.follow(chosen, sys.stdout)


@task(help={"name": NAME})
def plug(_: Context, device: str, name: str = "") -> None:
    """Put a device's network cable back in. Needs root."""
    with told_errors():
        _set_plugged(name_of(name), device, plugged=True)


@task(help={"name": NAME})
def unplug(_: Context, device: str, name: str = "") -> None:
    """Pull a device's network cable; its containers run on. Needs root."""
    with told_errors():
        _set_plugged(name_of(name), device, plugged=False)


@task(name="exec", help={"name": NAME})
def execute(_: Context, device: str, name: str = "") -> None:
    """Run what follows ``--`` in a device, as itself; without it, a shell. Needs root."""
    with told_errors():
        labs.require_root(f"lab.exec {device}")
        device_shell.enter(*statuses.device_of(name_of(name), device), _after_dashes(sys.argv))


@task(help={"name": NAME})
def ssh(_: Context, device: str, name: str = "") -> None:
    """Log in to a machine by SSH; what follows ``--`` is run there. Needs root."""
    with told_errors():
        labs.require_root(f"lab.ssh {device}")
        device_shell.log_in(*statuses.device_of(name_of(name), device), _after_dashes(sys.argv))


@task(help={"name": NAME})
def console(_: Context, device: str, name: str = "") -> None:
    """Attach to the serial console of a machine; Ctrl-] leaves it. Needs root."""
    with told_errors():
        labs.require_root(f"lab.console {device}")
        device_shell.attach(*statuses.device_of(name_of(name), device))


@task(name="doctor", help={"format": FORMAT})
def examine(_: Context, format: str = "") -> None:  # noqa: A002 - the option's name
    """Try what the lab needs of this host, and tell how to mend what fails."""
    with told_errors():
        with output.Progress(to=output.errors) as progress:
            progress.waits("trying what the lab needs of this host")
            found = (*examination.examine(), *_about_machines())
        if is_json(format):
            print(json.dumps([finding.as_dict() for finding in found], indent=2))
        else:
            output.console.print(examination.table(found))
        if any(finding.verdict is examination.Verdict.FAILS for finding in found):
            raise Exit(code=3)


@task(
    name="gc",
    help={
        "older-than": "days that a thing must have been unused (default: 7)",
        "all": "also take down dead labs",
        "dry-run": "only tell (LAB_DRY_RUN)",
    },
)
def collect(
    _: Context,
    older_than: float = 7.0,
    all: bool = False,  # noqa: A002 - the option's name
    dry_run: bool = False,
) -> None:
    """Remove what no lab needs: old logs, unused images, environments, toolchains. Needs root."""
    with told_errors():
        labs.require_root("lab.gc")
        if not older_than >= 0:
            raise TopologyInvalid(f"--older-than {older_than:g}", hint="it is 0 days or more")
        found = unused_caches.find(older_than)
        chosen = [each for each in found if all or each.kind is not unused_caches.Kind.LAB]
        only_told = dry_run or is_set("LAB_DRY_RUN")
        gone = () if only_told else removal.collect(chosen)
        output.leftovers(found, gone, dry_run=only_told)
        sites.end_dead(output.errors.print, dry_run=only_told)


def _about_machines() -> Iterator[examination.Finding]:
    """Tell what this host lacks for machines; one without them is no worse a host."""
    stored = {arch: cache.stored(catalogue.default(arch)) for arch in Arch}
    kernels = {arch: image.kernel for arch, image in stored.items() if image and image.kernel}
    for report in machine_preflight.reports(kernels):
        yield from report.as_findings()


def collection() -> Collection:
    """Return the tasks, to be added as ``lab``."""
    return Collection(
        "lab",
        up, down, status, show_logs, plug, unplug, execute, ssh, console, examine, collect,
        snapshots.snapshot, snapshots.reset,
    )  # fmt: skip


def _up(name: str, wanted: str, *, dry_run: bool) -> None:
    with output.Progress(dry_run=dry_run) as progress:
        if dry_run:
            _tell_only(name, wanted, progress)
            return
        with labs.held(name, f"lab.up --name {name}", within=PATIENCE, saw=progress.waits):
            topology.load(wanted or "smoke")
            known = labs.ensure(name, wanted or None)
            log_to(known.host)
            wanted_parts = topology.load(known.topology)
            labs.settle(known, wanted_parts.places())
            lab = assembly.assemble(known.host, wanted_parts)
            begun = time.monotonic()
            done = bring_up.reach(lab, progress)
            took = time.monotonic() - begun
    raise_failures(bring_up.failures(done, known.host))
    output.summary(done, took)
    found = statuses.status(name)
    output.tables(found)
    output.next_steps(known.host, found, demo.selects())


def raise_failures(found: Sequence[LabError]) -> None:
    """Tell of all that failed: the last one as the error that ends the command."""
    for error in found[:-1]:
        output.failure(error)
    for error in found[-1:]:
        raise error


def _tell_only(name: str, wanted: str, progress: output.Progress) -> None:
    known = labs.suited(name, wanted or None)
    if known is None:
        chosen = topology.load(wanted or "smoke")
        devices = ", ".join(device.id for device in chosen.devices)
        output.console.print(f"would make lab {name} with devices {devices}")
        return
    lab = assembly.assemble(known.host, topology.load(known.topology))
    begun = time.monotonic()
    done = stages.reach(assembly.plans(lab), known.host, progress, dry_run=True)
    output.summary(done, time.monotonic() - begun)


def _down(name: str) -> None:
    with output.Progress() as progress:
        if not labs.is_there(name):
            output.console.print(f"lab {name} is down")
            return
        with labs.held(name, f"lab.down --name {name}", within=PATIENCE, saw=progress.waits):
            left = take_down.undo_all(labs.trace(name), progress.undoes)
    for entry in left:
        output.failure(LabError(f"{entry.entry.kind} {entry.entry.name} remains: {entry.error}"))
    if left:
        raise LabError(f"{len(left)} things remain", hint="mend what they say, then lab.down again")
    output.console.print(f"lab {name} is down; its logs are in {labs.state_of(name) / 'logs'}")


def _set_plugged(name: str, device: str, *, plugged: bool) -> None:
    labs.require_root(f"lab.{'plug' if plugged else 'unplug'} {device}")
    host, found = statuses.device_of(name, device)
    network.set_plugged(host, found.index, plugged=plugged)
    if plugged:
        output.console.print(f"{device} is plugged in")
    else:
        output.unplugged(name, device)


def _after_dashes(argv: Sequence[str]) -> Sequence[str]:
    """Return what follows ``--``, word by word: invoke itself joins the words."""
    return argv[argv.index("--") + 1 :] if "--" in argv else ()
