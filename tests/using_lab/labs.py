"""
A lab as its users see it: `invoke lab.*`, and the object that `lab.status --format json` prints.

Nothing here knows where the lab keeps its files or how it starts its parts.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.using_lab.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
UP_WITHIN = 1500  # a cold host builds the toolchain first
COMMAND_WITHIN = 120
SNAPSHOT_WITHIN = 240

Status = dict[str, Any]


class CommandFailed(AssertionError):
    """A command that had to work did not; shows what it printed."""


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command printed, and how it ended."""

    code: int
    out: str
    seconds: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Lab:
    """The lab called *name*, of the usual topology unless told."""

    name: str
    topology: str = ""

    def up(self) -> Printed:
        """Bring the lab up, or repair it."""
        topology = ("--topology", self.topology) if self.topology else ()
        return self._must("lab.up", *topology, within=UP_WITHIN)

    def down(self) -> Printed:
        """Take the lab down."""
        return self._must("lab.down", within=300)

    def unplug(self, device_id: str) -> None:
        """Take a device's link down."""
        self._must("lab.unplug", device_id)

    def plug(self, device_id: str) -> None:
        """Take a device's link up again."""
        self._must("lab.plug", device_id)

    def snapshot(self, name: str) -> dict[str, Any]:
        """Take a snapshot, and return what was told of it."""
        return self._object("lab.snapshot", "--snapshot", name, within=SNAPSHOT_WITHIN)

    def reset(self, name: str) -> dict[str, Any]:
        """Go back to a snapshot, and return what was told of that."""
        return self._object("lab.reset", "--snapshot", name, within=SNAPSHOT_WITHIN)

    def refusal(self, task: str, *arguments: str) -> Printed:
        """Run a command that must fail."""
        printed = _run(self.command(task, *arguments), COMMAND_WITHIN, stderr=subprocess.STDOUT)
        assert printed.code, f"{task} was to fail, and printed:\n{printed.out}"
        return printed

    def logs(self) -> Printed:
        """Ask for the logs."""
        return self._must("lab.logs")

    def status(self) -> Status:
        """Read the lab's machine-readable face."""
        return self._object("lab.status")

    @property
    def stage(self) -> str:
        """How far the lab is up."""
        return str(self.status()["stage"])

    def command(self, task: str, *arguments: str) -> list[str]:
        """Spell `invoke TASK` for this lab."""
        return [sys.executable, "-m", "invoke", task, *arguments, "--name", self.name]

    def examine(self) -> Printed:
        """Run `lab.doctor`, which is about the host, and return what it printed."""
        argv = [sys.executable, "-m", "invoke", "lab.doctor"]
        return _run(argv, COMMAND_WITHIN, stderr=subprocess.STDOUT)

    def _object(self, task: str, *arguments: str, within: float = COMMAND_WITHIN) -> dict[str, Any]:
        printed = self._must(task, *arguments, "--format", "json", within=within, quiet=True)
        found = json.loads(printed.out)
        assert isinstance(found, dict)
        return found

    def _must(
        self, task: str, *arguments: str, within: float = COMMAND_WITHIN, quiet: bool = False
    ) -> Printed:
        stderr = subprocess.PIPE if quiet else subprocess.STDOUT
        printed = _run(self.command(task, *arguments), within, stderr=stderr)
        if printed.code:
            raise CommandFailed(f"{task} ended with {printed.code} and printed:\n{printed.out}")
        return printed


def _run(argv: list[str], within: float, *, stderr: int) -> Printed:
    begun = time.monotonic()
    done = subprocess.run(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=within,
        env={**os.environ, "NO_COLOR": "1"}, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    out = done.stdout + (done.stderr or "" if done.returncode else "")
    return Printed(done.returncode, out, time.monotonic() - begun)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that no later one with its number can pass for."""

    pid: int
    started: float


def processes(status: Status) -> dict[str, Process]:
    """Name every process that *status* tells of; one that doesn't run is missing here."""
    pids = {
        **status["kubernetes"]["pids"],
        "nats": status["nats"]["pid"],
        "registry": status["registry"]["pid"],
        "operator": status["operator"]["pid"],
        **{f"agent {device['id']}": device["pid"] for device in status["devices"]},
        **{f"podman {device['id']}": device.get("podman_pid") for device in status["devices"]},
    }
    return {name: found for name, pid in pids.items() if (found := process(pid))}


def process(pid: int | None) -> Process | None:
    """Look a process up; a zombie counts as gone."""
    if pid is None:
        return None
    try:
        found = psutil.Process(pid)
        return None if found.status() == psutil.STATUS_ZOMBIE else Process(pid, found.create_time())
    except psutil.NoSuchProcess:
        return None


def kill(victims: Mapping[str, Process]) -> None:
    """`kill -9` them, and wait until they are gone."""
    for victim in victims.values():
        os.kill(victim.pid, signal.SIGKILL)

    def look() -> None:
        """the killed processes are gone"""
        assert [name for name, each in victims.items() if process(each.pid) == each] == []

    eventually(look, within=10)
