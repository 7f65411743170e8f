"""
The invoke tasks of the lab. They parse, call and show; what they do is elsewhere.

Options are also read from the environment: ``LAB_NAME``, ``LAB_TOPOLOGY``, ``LAB_FORMAT``,
``LAB_DRY_RUN``. Exit codes are those of `lab.errors`, 130 when interrupted.
"""

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence

import structlog
from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from fleet import errors
from fleet.scores.linux.architecture import Arch
from lab import (
    assembly,
    collecting,
    demo,
    doctor,
    entering,
    labs,
    leftovers,
    logs,
    network,
    preflight,
    raising,
    showing,
    stages,
    topology,
    undoing,
)
from lab import status as statuses
from lab.errors import LabError, TopologyInvalid
from lab.host import LabHost
from lab.images.cloud import cache, catalogue

_PATIENCE = 900  # another command on the same lab: a first `up` builds and installs

_NAME = "name of the lab (LAB_NAME; default: default)"


@task(help={"topology": "name or file (LAB_TOPOLOGY)", "name": _NAME, "dry-run": "only tell"})
def up(_: Context, topology: str = "", name: str = "", dry_run: bool = False) -> None:
    """Bring the lab up, or repair it; changes nothing where all is well. Needs root."""
    with told_errors():
        labs.require_root("lab.up")
        _up(
            _name(name),
            topology or os.environ.get("LAB_TOPOLOGY", ""),
            dry_run=dry_run or _is_set("LAB_DRY_RUN"),
        )


@task(help={"name": _NAME})
def down(_: Context, name: str = "") -> None:
    """Take the lab down: all that its ledger says is ours, and nothing else. Needs root."""
    with told_errors():
        labs.require_root("lab.down")
        _down(_name(name))


@task(help={"name": _NAME, "format": "table or json (LAB_FORMAT)"})
def status(_: Context, name: str = "", format: str = "") -> None:  # noqa: A002 - the option's name
    """Show how far the lab is up, its parts and its devices."""
    with told_errors():
        found = statuses.status(_name(name))
        match format or os.environ.get("LAB_FORMAT", "table"):
            case "json":
                print(json.dumps(found, indent=2))
            case "table":
                showing.tables(found)
            case other:
                raise TopologyInvalid(f"no format {other!r}", hint="there are table and json")


@task(
    name="logs",
    help={
        "part": "of one part; left out, the last lines of all",
        "follow": "go on until interrupted",
        "name": _NAME,
    },
)
def show_logs(_: Context, part: str = "", follow: bool = False, name: str = "") -> None:
    """Show the log of a part, or the last lines of all."""
    with told_errors():
        chosen = logs.choose(labs.state_of(_name(name)) / "logs", part)
        logs.show(chosen, sys.stdout)
        if follow:
            logs.follow(chosen, sys.stdout)


@task(help={"name": _NAME})
def plug(_: Context, device: str, name: str = "") -> None:
    """Put a device's network cable back in. Needs root."""
    with told_errors():
        _set_plugged(_name(name), device, plugged=True)


@task(help={"name": _NAME})
def unplug(_: Context, device: str, name: str = "") -> None:
    """Pull a device's network cable; its containers run on. Needs root."""
    with told_errors():
        _set_plugged(_name(name), device, plugged=False)


@task(name="exec", help={"name": _NAME})
def execute(_: Context, device: str, name: str = "") -> None:
    """Run what follows ``--`` in a device, as itself; without it, a shell. Needs root."""
    with told_errors():
        labs.require_root(f"lab.exec {device}")
        entering.enter(*statuses.device_of(_name(name), device), _after_dashes(sys.argv))


@task(help={"name": _NAME})
def ssh(_: Context, device: str, name: str = "") -> None:
    """Log in to a machine by SSH; what follows ``--`` is run there. Needs root."""
    with told_errors():
        labs.require_root(f"lab.ssh {device}")
        entering.log_in(*statuses.device_of(_name(name), device), _after_dashes(sys.argv))


@task(help={"name": _NAME})
def console(_: Context, device: str, name: str = "") -> None:
    """Attach to the serial console of a machine; Ctrl-] leaves it. Needs root."""
    with told_errors():
        labs.require_root(f"lab.console {device}")
        entering.attach(*statuses.device_of(_name(name), device))


@task(name="doctor", help={"format": "table or json (LAB_FORMAT)"})
def examine(_: Context, format: str = "") -> None:  # noqa: A002 - the option's name
    """Try what the lab needs of this host, and tell how to mend what fails."""
    with told_errors():
        found = (*doctor.examine(), *_about_machines())
        if (format or os.environ.get("LAB_FORMAT", "table")) == "json":
            print(json.dumps([finding.as_dict() for finding in found], indent=2))
        else:
            showing.console.print(doctor.table(found))
        if any(finding.verdict is doctor.Verdict.FAILS for finding in found):
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
        found = leftovers.find(older_than)
        chosen = [each for each in found if all or each.kind is not leftovers.Kind.LAB]
        only_told = dry_run or _is_set("LAB_DRY_RUN")
        gone = () if only_told else collecting.collect(chosen)
        showing.leftovers(found, gone, dry_run=only_told)


def _about_machines() -> Iterator[doctor.Finding]:
    """Tell what this host lacks for machines; one without them is no worse a host."""
    stored = {arch: cache.stored(catalogue.default(arch)) for arch in Arch}
    kernels = {arch: image.kernel for arch, image in stored.items() if image and image.kernel}
    for report in preflight.reports(kernels):
        yield from report.as_findings()


def collection() -> Collection:
    """Return the tasks, to be added as ``lab``."""
    return Collection(
        "lab",
        up, down, status, show_logs, plug, unplug, execute, ssh, console, examine, collect,
    )  # fmt: skip


def _up(name: str, wanted: str, *, dry_run: bool) -> None:
    with showing.Progress(dry_run=dry_run) as progress:
        if dry_run:
            _tell_only(name, wanted, progress)
            return
        with labs.held(name, f"lab.up --name {name}", within=_PATIENCE, saw=progress.waits):
            topology.load(wanted or "smoke")
            known = labs.ensure(name, wanted or None)
            _log_to(known.host)
            wanted_parts = topology.load(known.topology)
            labs.settle(known, wanted_parts.places())
            lab = assembly.assemble(known.host, wanted_parts)
            begun = time.monotonic()
            done = raising.reach(lab, progress)
            took = time.monotonic() - begun
    raise_failures(raising.failures(done, known.host))
    showing.summary(done, took)
    found = statuses.status(name)
    showing.tables(found)
    showing.next_steps(known.host, found, demo.selects())


def raise_failures(found: Sequence[LabError]) -> None:
    """Tell of all that failed: the last one as the error that ends the command."""
    for error in found[:-1]:
        showing.failure(error)
    for error in found[-1:]:
        raise error


def _tell_only(name: str, wanted: str, progress: showing.Progress) -> None:
    known = labs.find(name)
    if known is None:
        chosen = topology.load(wanted or "smoke")
        devices = ", ".join(device.id for device in chosen.devices)
        showing.console.print(f"would make lab {name} with devices {devices}")
        return
    lab = assembly.assemble(known.host, topology.load(known.topology))
    begun = time.monotonic()
    done = stages.reach(assembly.plans(lab), known.host, progress, dry_run=True)
    showing.summary(done, time.monotonic() - begun)


def _down(name: str) -> None:
    with showing.Progress() as progress:
        if not labs.is_there(name):
            showing.console.print(f"lab {name} is down")
            return
        with labs.held(name, f"lab.down --name {name}", within=_PATIENCE, saw=progress.waits):
            left = undoing.take_down(labs.trace(name), progress.undoes)
    for entry in left:
        showing.failure(LabError(f"{entry.entry.kind} {entry.entry.name} remains: {entry.error}"))
    if left:
        raise LabError(f"{len(left)} things remain", hint="mend what they say, then lab.down again")
    showing.console.print(f"lab {name} is down; its logs are in {labs.state_of(name) / 'logs'}")


def _set_plugged(name: str, device: str, *, plugged: bool) -> None:
    labs.require_root(f"lab.{'plug' if plugged else 'unplug'} {device}")
    host, found = statuses.device_of(name, device)
    network.set_plugged(host, found.index, plugged=plugged)
    showing.console.print(f"{device} is {'plugged in' if plugged else 'unplugged'}")


def _after_dashes(argv: Sequence[str]) -> Sequence[str]:
    """Return what follows ``--``, word by word: invoke itself joins the words."""
    return argv[argv.index("--") + 1 :] if "--" in argv else ()


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in {"", "0", "no", "false"}


def _name(given: str) -> str:
    return given or os.environ.get("LAB_NAME") or "default"


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Show an error as a person needs it, and end with its exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    except errors.FleetError as exc:
        showing.failure(exc)
        raise Exit(code=getattr(exc, "exit_code", 1)) from exc
    except KeyboardInterrupt as exc:
        showing.errors.print("interrupted; the same command goes on where it was")
        raise Exit(code=130) from exc


def _log_to(host: LabHost) -> None:
    """Write what the scores log to the lab's own log: the console shows progress instead."""
    host.logs.mkdir(parents=True, exist_ok=True)
    file = host.log("lab").open("a", buffering=1)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file),
    )
