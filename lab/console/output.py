"""Shows a person what the lab does: progress, then a table, then what to type next."""

import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.status import Status as Spinner
from rich.table import Table

from fleet.scores.score import Change
from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry
from lab.housekeeping.unused_caches import Kind, Leftover
from lab.lifecycle import demo
from lab.lifecycle.stages import Done, Stage

_WIDTH = None if sys.stdout.isatty() else 120  # a log has no width of its own
console = Console(soft_wrap=True, highlight=False, width=_WIDTH)
errors = Console(soft_wrap=True, highlight=False, stderr=True)

_WHOLE = (Stage.DOWN, Stage.READY)
_MARKS = {Change.UNCHANGED: "[dim]=[/]", Change.CHANGED: "[green]✓[/]", Change.FAILED: "[red]✗[/]"}


class Progress:
    """Shows each score that changes something, and sums up the rest. An `stages.Audience`."""

    def __init__(self, *, dry_run: bool = False, to: Console = console) -> None:
        self._console = to
        self._spinner = Spinner("", console=to) if to.is_terminal else None
        self._dry_run = dry_run
        self._now = ""
        self._stage: Stage | None = None

    def __enter__(self) -> Self:
        if self._spinner:
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._spinner:
            self._spinner.stop()

    def begins(self, stage: Stage, score: str) -> None:
        """See `stages.Audience`."""
        if stage is not self._stage and not self._spinner:
            self._console.print(f"[bold]{stage}[/]")
        self._stage, self._now = stage, f"{stage}: {score}"
        self._tell(self._now)

    def sees(self, what: str) -> None:
        """See `stages.Audience`."""
        self._tell(f"{self._now} [dim]{_first_line(what)}[/]")

    def ends(self, done: Done) -> None:
        """See `stages.Audience`."""
        outcome = done.outcome
        if outcome.change is Change.UNCHANGED:
            return
        would = "would change: " if self._dry_run else ""
        why = _first_line("; ".join(outcome.details))
        mark = _MARKS[outcome.change]
        self._console.print(
            f" {mark} {done.stage}: {done.name}  [dim]{would}{why} ({done.seconds:.1f} s)[/]"
        )

    def waits(self, what: str) -> None:
        """Show what the command waits for before it begins."""
        if what != self._now and not self._spinner:
            self._console.print(f"[dim]{escape(what)}[/]")
        self._now = what
        self._tell(escape(what))

    def undoes(self, entry: Entry) -> None:
        """Show what is being undone."""
        self._tell(f"removing {entry.kind} {entry.name}")

    def _tell(self, text: str) -> None:
        if self._spinner:
            self._spinner.update(text)


def summary(done: Sequence[Done], seconds: float) -> None:
    """Say how much changed, and how long that took."""
    changed = sum(entry.outcome.change is Change.CHANGED for entry in done)
    if changed:
        console.print(f"{changed} of {len(done)} changed, in {seconds:.1f} s")
    else:
        console.print(f"unchanged: all {len(done)} are as wanted ({seconds:.1f} s)")


def failure(error: BaseException) -> None:
    """Say what failed, where to look and what to do."""
    where = f"{error.where}: " if isinstance(error, LabError) and error.where else ""
    errors.print(f"[red]failed:[/] {escape(where + str(error))}")
    if isinstance(error, LabError):
        if error.log:
            errors.print(f"  log:  {error.log}")
        if error.hint:
            errors.print(f"  hint: {escape(error.hint)}")


def tables(status: Mapping[str, Any]) -> None:
    """Show the parts and the devices of a lab."""
    console.print(f"lab [bold]{status['name']}[/]: {escape(_how_far(status))}")
    if status["kubernetes"] is None:
        return
    console.print(_parts(status))
    console.print(_devices(status))
    for problem in status["problems"]:
        console.print(f" [red]![/] {escape(problem)}")


def leftovers(found: Sequence[Leftover], gone: Collection[Leftover], *, dry_run: bool) -> None:
    """Show what no lab needs, what became of it, and what to type for the rest."""
    if not found:
        console.print("nothing is left over")
        return
    table = Table("what", "where", "size", "unused for", "")
    for each in found:
        row = (each.kind, str(each.path), _mebibytes(each.bytes), f"{each.days:.0f} days")
        table.add_row(*row, "removed" if each in gone else "" if dry_run else "kept")
    console.print(table)
    total = sum(each.bytes for each in (found if dry_run else gone))
    console.print(f"{'would free' if dry_run else 'freed'} {_mebibytes(total)}")
    for each in found:
        if each.kind is Kind.LAB and each not in gone:
            name = each.path.name
            console.print(f"lab {name} is dead: lab.down --name {name}, or lab.gc --all")


def next_steps(host: LabHost, status: Mapping[str, Any], selects: Mapping[str, str]) -> None:
    """Show what to type to see the demo run, where a device would. Each line can be pasted."""
    addresses = [
        device["address"]
        for device in status["devices"]
        if selects.items() <= device["labels"].items()
    ]
    applied = (
        f"./dev kubectl apply -f {shlex.quote(str(demo.manifest_of(host)))}",
        "./dev kubectl -n fleet-demo wait --for=condition=Available fleetdep/hello-web",
    )
    _next(
        f"export KUBECONFIG={shlex.quote(status['kubernetes']['kubeconfig'])}",
        *(applied if addresses else ()),
        "./dev kubectl get fleetdep,fleetdev -A",
        *(f"curl http://{address}:{demo.HOST_PORT}/" for address in addresses[:1]),
        f"{_typed('lab.status', host.name)}    # or lab.logs, lab.unplug DEVICE, lab.down",
    )


def remedy(status: Mapping[str, Any]) -> None:
    """Show what to type where a lab isn't up, or something in it isn't well."""
    up = _typed("lab.up", status["name"])
    if status["topology"] is None:
        _next(up)
    elif status["problems"]:
        _next(f"{up}    # repairs it, and plugs in what is unplugged")


def unplugged(name: str, device: str) -> None:
    """Say that the cable of *device* is pulled, and how it gets back."""
    console.print(f"{device} is unplugged")
    _next(_typed(f"lab.plug {device}", name))


def _next(*lines: str) -> None:
    console.print("\nNext:")
    for line in lines:
        console.print(f"  {line}", markup=False)


def _typed(command: str, name: str) -> str:
    return f"./dev invoke {command}" + ("" if name == "default" else f" --name {name}")


def _how_far(status: Mapping[str, Any]) -> str:
    """Say how far a lab is up, and what it lacks first; the rest stands beneath the tables."""
    stage, problems = status["stage"], status["problems"]
    words = stage if stage in _WHOLE else f"up to stage {stage}, not {Stage.READY}"
    if stage == Stage.READY or not problems:
        return words
    more = f" (and {len(problems) - 1} more, below)" if problems[1:] else ""
    return f"{words}: {_first_words(problems[0])}{more}"


def _parts(status: Mapping[str, Any]) -> Table:
    table = Table("part", "pid", "where")
    pids = status["kubernetes"]["pids"]
    for part, pid in pids.items():
        where = status["kubernetes"]["server"] if part == "kube-apiserver" else ""
        table.add_row(part, _shown(pid), where)
    table.add_row("nats-server", _shown(status["nats"]["pid"]), status["nats"]["url"])
    table.add_row("registry", _shown(status["registry"]["pid"]), status["registry"]["address"])
    table.add_row("operator", _shown(status["operator"]["pid"]), status["operator"]["health"])
    return table


def _devices(status: Mapping[str, Any]) -> Table:
    table = Table("device", "address", "labels", "agent")
    for device in status["devices"]:
        labels = ",".join(f"{key}={value}" for key, value in sorted(device["labels"].items()))
        state = device["agent"] + ("" if device["plugged"] else ", unplugged")
        table.add_row(device["id"], device["address"], labels, state)
    return table


def _mebibytes(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


def _shown(pid: int | None) -> str:
    return "[red]not running[/]" if pid is None else str(pid)


def _first_line(text: str) -> str:
    return escape(_first_words(text))


def _first_words(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 160 else f"{line[:159]}…"  # noqa: PLR2004 - a line of a wide terminal
