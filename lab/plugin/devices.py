"""The lab and its devices, as tests see them."""

import contextlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from fleet import errors
from lab.plugin import needs as capabilities
from lab.plugin.needs import Capability
from lab.plugin.port import Answer, LabPort, Status
from lab.plugin.session.leases import Holder, Leases

_WITHIN = 60
_AGENT_USER = "fleet-agent"


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the lab; *told* is all that `lab.status` says of it."""

    id: str
    address: str
    arch: str
    backend: str
    labels: Mapping[str, str]
    capabilities: frozenset[Capability]
    told: Mapping[str, Any] = field(repr=False)
    lab: LabPort = field(repr=False, compare=False)

    @classmethod
    def of(cls, status: Status, told: Mapping[str, Any], lab: LabPort) -> "Device":
        """Read a device of `lab.status`."""
        return cls(
            id=told["id"],
            address=told["address"],
            arch=told["arch"],
            backend=told["backend"],
            labels=told["labels"],
            capabilities=capabilities.of_device(status, told),
            told=told,
            lab=lab,
        )

    def ask(self, *argv: str, within: float = _WITHIN) -> Answer:
        """Run a program in the device, and return what it answered: its code, output and errors."""
        return self.lab.ask(self.id, argv, within=within)

    def run(self, *argv: str, within: float = _WITHIN) -> str:
        """
        Run a program in the device, and return its output.

        :raises errors.CommandFailed: it ended badly; the message is what it said.
        """
        __tracebackhide__ = True  # a test that fails is told where it itself stands
        return self._checked(argv, self.ask(*argv, within=within))

    def podman(self, *arguments: str, within: float = _WITHIN) -> str:
        """
        Ask the device's podman: at its socket, or in a machine as the agent's user.

        :raises errors.CommandFailed: it ended badly; the message is what it said.
        """
        __tracebackhide__ = True
        if socket := self.told.get("podman"):
            argv = ("podman", "--remote", "--url", socket, *arguments)
            return self._checked(argv, _here(argv, within))
        words = shlex.join(("podman", *arguments))
        return self.run("runuser", "--login", _AGENT_USER, "--command", words, within=within)

    def _checked(self, argv: tuple[str, ...], answer: Answer) -> str:
        __tracebackhide__ = True
        if not answer.ok:
            said = (answer.err or answer.out).strip()[-2000:]
            message = f"{self.id}: `{shlex.join(argv)}` ended with {answer.code}: {said}"
            raise errors.CommandFailed(message, element=self.id)
        return answer.out


@dataclass(slots=True)
class Lab:
    """The lab of the run, up; *status* is what `lab.status` said when it was."""

    port: LabPort = field(repr=False)
    status: Status
    leases: Leases
    worker: str
    lease_within: float
    """how long to wait for a device that others hold, where nothing else is asked for"""
    leased: dict[str, Device] = field(default_factory=dict)
    """what this process holds now"""
    _last: str = ""

    @property
    def name(self) -> str:
        """Return the name of the lab."""
        return str(self.status["name"])

    @property
    def paths(self) -> Mapping[str, Path]:
        """Return where the lab keeps its state and its logs."""
        return {name: Path(path) for name, path in self.status["paths"].items()}

    @property
    def devices(self) -> tuple[Device, ...]:
        """Return all devices, whoever holds them."""
        return tuple(Device.of(self.status, each, self.port) for each in self.status["devices"])

    def look(self) -> Status:
        """Ask for the lab's status anew."""
        return self.port.status()

    @contextlib.contextmanager
    def lease(
        self, *needs: str, test: str = "a block", within: float | None = None
    ) -> Iterator[Device]:
        """
        Hold a device that nobody else of any run holds; rather the one that we had before.

        :raises TopologyInvalid: there is no such need.
        :raises LabBusy: none became free in time; it says who holds them.
        """
        fitting = self.fitting(*needs)
        if not fitting:
            pytest.skip(capabilities.why_none(self.status, capabilities.wanted(needs)))
        wanted = sorted(fitting, key=lambda device: device.id != self._last)
        ids, holder = [device.id for device in wanted], Holder(self.worker, test)
        patience = self.lease_within if within is None else within
        with self.leases.hold(ids, holder, within=patience) as held:
            device = next(device for device in wanted if device.id == held)
            self._last = self.leased.setdefault(held, device).id
            try:
                yield device
            finally:
                del self.leased[held]

    def fitting(self, *needs: str) -> tuple[Device, ...]:
        """Return the devices that can do all of *needs*."""
        ids = capabilities.fitting(self.status, capabilities.wanted(needs))
        return tuple(device for device in self.devices if device.id in ids)


def _here(argv: tuple[str, ...], within: float) -> Answer:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise errors.CommandFailed(f"`{shlex.join(argv)}`: {exc}") from exc
    return Answer(done.returncode, done.stdout, done.stderr)
