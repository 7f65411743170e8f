"""
Follows a machine from power on until its agent is set up, stage by stage.

Each stage has its own budget (`budgets`) and its own evidence. What can't get better
any more fails at once: a panic on the serial console, a set-up that says it failed, a machine that
is off. A failure says the stage, the last words of the console, and where all the rest was put.
"""

import errno
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from lab.devices.vm.boot import serial_log, timeouts
from lab.devices.vm.boot.serial_log import Reading
from lab.devices.vm.boot.timeouts import Step
from lab.errors import PartDied, WaitTimedOut
from lab.system import probes, waiting
from lab.system.waiting import Probe

_SSH_PORT = 22
_CLOSED_PORT = 9  # "discard": nobody listens there
_LOOK_EVERY = 0.3


@dataclass(frozen=True, slots=True)
class Boot:
    """
    One boot of a machine: where its console writes to, and from where on it speaks of this boot.

    *off* says why the machine is off; nothing while it is on.
    """

    name: str
    address: str
    arch: Arch
    accelerator: Accelerator
    log: Path
    begins: int
    off: Callable[[], str]
    sets_up: bool = True
    """whether cloud-init has yet to set the agent up, which it does at the first boot"""

    def said(self) -> bytes:
        """Return what the console has said since power on."""
        try:
            return self.log.read_bytes()[self.begins :]
        except FileNotFoundError:
            return b""


@dataclass
class Follower:
    """Walks *boot* through its stages, and keeps how many seconds each took."""

    boot: Boot
    saw: Callable[[str], None]
    budget: Callable[[float], float]
    clock: Callable[[], float] = time.monotonic
    took: dict[Step, float] = field(default_factory=dict)

    def follow(self) -> Mapping[Step, float]:
        """
        Return the seconds that each stage took, once all are through.

        :raises PartDied: the boot has failed for good.
        :raises WaitTimedOut: a stage ran out of its budget.
        """
        for step in Step:
            begun = self.clock()
            self._reach(step)
            self.took[step] = self.clock() - begun
        return self.took

    def _reach(self, step: Step) -> None:
        boot = self.boot
        within = self.budget(timeouts.seconds(step, boot.arch, boot.accelerator))
        try:
            waiting.wait_for(
                f"{boot.name}: {step}",
                _probe(boot, step),
                within=within,
                every=_LOOK_EVERY,
                saw=self.saw,
                check=lambda: _check(boot, step),
            )
        except WaitTimedOut as exc:
            words = serial_log.last_words(boot.said())
            message = f"{exc}\nthe console's last words:\n{words}"
            raise WaitTimedOut(message, element=boot.name, log=boot.log) from exc


def _check(boot: Boot, step: Step) -> None:
    """Fail at once where waiting has become pointless."""
    found = serial_log.read(boot.said())
    if found.fault is not None:
        message = f"{boot.name}: {found.fault} in stage {step}: {found.words}"
        raise PartDied(message, element=boot.name, log=boot.log)
    if why := boot.off():
        words = serial_log.last_words(boot.said())
        message = f"{boot.name}: {why}, in stage {step}; the console's last words:\n{words}"
        raise PartDied(message, element=boot.name, log=boot.log)


def _probe(boot: Boot, step: Step) -> Probe:
    set_up = _says(boot, lambda found: found.set_up, "the set-up isn't done")
    ways: Mapping[Step, Probe] = {
        Step.POWER: boot.off,
        Step.KERNEL: _says(boot, lambda found: found.kernel, "the kernel has said nothing yet"),
        Step.NETWORK: network(boot.address),
        Step.SSH: ssh(boot.address),
        Step.CLOUD_INIT: _says(boot, lambda found: found.cloud_init, "cloud-init is still at work"),
        Step.AGENT: set_up if boot.sets_up else probes.anything,
    }
    return ways[step]


def _says(boot: Boot, enough: Callable[[Reading], bool], missing: str) -> Probe:
    def probe() -> str:
        return "" if enough(serial_log.read(boot.said())) else missing

    return probe


def network(address: str) -> Probe:
    """Ready when *address* is reached: nobody listens at that port, and the machine says so."""

    def probe() -> str:
        with socket.socket() as sock:
            sock.settimeout(2)
            code = sock.connect_ex((address, _CLOSED_PORT))
        answers = code in {0, errno.ECONNREFUSED}
        return "" if answers else f"{address} doesn't answer: {errno.errorcode.get(code, code)}"

    return probe


def ssh(address: str, port: int = _SSH_PORT) -> Probe:
    """Ready when an SSH server at *address* says its name: a port that is open isn't enough."""

    def probe() -> str:
        with socket.create_connection((address, port), timeout=5) as sock:
            banner = sock.makefile("rb").readline()
        return "" if banner.startswith(b"SSH-") else f"it says {banner[:40]!r}"

    return probe
