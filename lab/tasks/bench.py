"""
The invoke tasks that measure. Each shows a table, or JSON, and writes `build/bench-NAME.json`.

They say what they found, and never fail for it: a figure depends on the machine, and on what else
it does meanwhile.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog
from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import task
from rich.console import Console

from lab.bench import sites
from lab.bench.results import Figure, Results
from lab.console import invocation
from lab.errors import TopologyInvalid

_ROOT = Path(__file__).parents[2]
_NAME = "name of a lab that is up (LAB_NAME; default: default)"
_FORMAT = "table or json (LAB_FORMAT)"

_console = Console(soft_wrap=True, highlight=False)
_progress = Console(soft_wrap=True, highlight=False, stderr=True)

Say = Callable[[str], None]


@task(
    help={
        "devices": "how many agents, comma-separated",
        "deployments": "how many deployments",
        "rounds": "how often",
        "agents": "processes (one each), or tasks (all in this process)",
        "format": _FORMAT,
    }
)
def control(
    _: Context,
    devices: str = "20,200,1000",
    deployments: int = 3,
    rounds: int = 5,
    agents: str = "processes",
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Time the control plane: real agents over runtimes that do nothing."""
    from lab.bench import control as bench  # noqa: PLC0415 - aiohttp is for whoever measures

    def measure() -> list[Figure]:
        _some(deployments=deployments, rounds=rounds)
        counts = [_number("devices", count) for count in devices.split(",")]
        _one_of("agents", agents, (bench.PROCESSES, bench.TASKS))
        sizes = [bench.Size(count, deployments, rounds, agents) for count in counts]
        return [f for size in sizes for f in asyncio.run(bench.measure(size, _say))]

    command = (
        f"bench.control --devices {devices} --deployments {deployments} --rounds {rounds}"
        f" --agents {agents}"
    )
    _run("control", command, measure, format)


@task(help={"name": _NAME, "devices": "how many", "rounds": "how often", "format": _FORMAT})
def converge(
    _: Context,
    name: str = "",
    devices: int = 20,
    rounds: int = 5,
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Time real containers from apply to status, beside podman alone. Needs a lab and root."""
    from lab.bench import converge as bench  # noqa: PLC0415 - the same

    def measure() -> list[Figure]:
        _some(devices=devices, rounds=rounds)
        return asyncio.run(bench.measure(_lab(name), devices, rounds, _say))

    _run("converge", f"bench.converge --devices {devices} --rounds {rounds}", measure, format)


@task(help={"name": _NAME, "repeats": "how often", "format": _FORMAT})
def latency(
    _: Context,
    name: str = "",
    repeats: int = 20,
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Time one container from apply to running and to status. Needs a lab and root."""
    from lab.bench import latency as bench  # noqa: PLC0415 - the same

    def measure() -> list[Figure]:
        _some(repeats=repeats)
        return asyncio.run(bench.measure(_lab(name), repeats, _say))

    _run("latency", f"bench.latency --repeats {repeats}", measure, format)


@task(
    help={
        "sizes": "devices x deployments, comma-separated",
        "services": "how many per deployment",
        "rounds": "how often",
        "format": _FORMAT,
    }
)
def start(
    _: Context,
    sizes: str = "20x3,200x5,2000x5",
    services: int = 1,
    rounds: int = 3,
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Time and weigh the operator's cold start where a fleet is in operation."""
    from lab.bench import start as bench  # noqa: PLC0415 - the same

    def measure() -> list[Figure]:
        _some(services=services, rounds=rounds)
        wanted = [bench.Size(*_size("sizes", text), services) for text in sizes.split(",")]
        return asyncio.run(bench.measure(wanted, rounds, _say))

    command = f"bench.start --sizes {sizes} --services {services} --rounds {rounds}"
    _run("start", command, measure, format)


@task(
    help={
        "name": _NAME,
        "crowd": "devices x deployments of the large operator",
        "seconds": "how long to watch",
        "format": _FORMAT,
    }
)
def footprint(
    _: Context,
    name: str = "",
    crowd: str = "2000x5",
    seconds: int = 60,
    format: str = "",  # noqa: A002 - the option's name
) -> None:
    """Weigh agents and operators that have nothing to do. Needs a lab and root."""
    from lab.bench import footprint as bench  # noqa: PLC0415 - the same

    def measure() -> list[Figure]:
        _some(seconds=seconds)
        return asyncio.run(bench.measure(_lab(name), _size("crowd", crowd), seconds, _say))

    _run("footprint", f"bench.footprint --crowd {crowd} --seconds {seconds}", measure, format)


def collection() -> Collection:
    """Return the tasks, to be added as ``bench``."""
    return Collection("bench", control, converge, latency, start, footprint)


def _size(option: str, text: str) -> tuple[int, int]:
    devices, _, deployments = text.partition("x")
    return _number(option, devices, text), _number(option, deployments, text)


def _number(option: str, text: str, given: str = "") -> int:
    if not text.strip().isdecimal() or not int(text):
        hint = "devices, or devices x deployments, such as 20 or 20x3: whole numbers from 1"
        raise TopologyInvalid(f"--{option} {given or text}", hint=hint)
    return int(text)


def _some(**options: int) -> None:
    for name, number in options.items():
        if number < 1:
            raise TopologyInvalid(f"--{name} {number}", hint="it is 1 or more")


def _one_of(option: str, given: str, known: Sequence[str]) -> None:
    if given not in known:
        raise TopologyInvalid(f"--{option} {given}", hint=f"it is {' or '.join(known)}")


def _lab(given: str) -> str:
    return given or os.environ.get("LAB_NAME") or "default"


def _run(name: str, command: str, measure: Callable[[], Sequence[Figure]], shown: str) -> None:
    with invocation.told_errors():
        _show(name, command, measure, as_json=invocation.is_json(shown))


def _show(
    name: str, command: str, measure: Callable[[], Sequence[Figure]], *, as_json: bool
) -> None:
    os.chdir(_ROOT)
    sites.end_dead(_say)  # it would take its share of what is measured
    # The agents of a benchmark share this process; what they would log is their devices' own.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    load = os.getloadavg()[0]
    found = Results.of(name, f"invoke {command}", measure(), load)
    path = found.write()
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        _console.print(found.table())
        _console.print(f"written to {path}")


def _say(what: str) -> None:
    _progress.print(f"[dim]{what}[/]")
