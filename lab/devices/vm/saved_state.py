"""
Saves a machine of the lab, and goes on from what was saved: its memory, its disk, its console.

The guest notices nothing but that its clock is late. What the console had said since power on goes
into the log once more, since that is where the lab reads how far a boot came.
"""

import time
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.kvm import domains
from fleet.scores.kvm.hypervisor import Power
from fleet.scores.linux import machine as linux
from lab.devices.vm import device as devices
from lab.devices.vm import machine, removal, setup
from lab.devices.vm.boot import timeouts
from lab.devices.vm.boot.timeouts import Step
from lab.devices.vm.device import VmDevice
from lab.devices.vm.hypervisor import daemon
from lab.errors import LabError, WaitTimedOut
from lab.host.lab_host import LabHost, read_json, write_json
from lab.host.ledger import Kind
from lab.system import copying, waiting

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MIB = 1 << 20
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class Saved:
    """Where the parts of a saved machine are, all in the directory *root*."""

    root: Path

    @property
    def memory(self) -> Path:
        """Return the memory, as libvirt saves it."""
        return self.root / "memory.save"

    @property
    def files(self) -> Path:
        """Return the machine's own directory: disk, seed, keys."""
        return self.root / "files"

    @property
    def console(self) -> Path:
        """Return what the console had said since power on."""
        return self.root / "console.log"

    @property
    def facts(self) -> Path:
        """Return what the ledger knew."""
        return self.root / "facts.json"


@dataclass(frozen=True, slots=True)
class VmMachine:
    """`lab.snapshots.port.Machine`: *device* of the lab on *host*."""

    host: LabHost
    device: VmDevice

    @property
    def name(self) -> str:
        """See `port.Machine`."""
        return self.device.id

    def size(self) -> int:
        """See `port.Machine`."""
        return self.device.memory_mib * _MIB + copying.allocated(self._files)

    def boot_id(self) -> str:
        """See `port.Machine`."""
        with setup.log_in(self.host, self.device) as there:
            return linux.run(there, "cat", _BOOT_ID).strip()

    def pause(self) -> None:
        """See `port.Machine`."""
        with daemon.connect(self.host) as hypervisor:
            hypervisor.suspend(self._domain)

    def save(self, into: Path) -> None:
        """See `port.Machine`."""
        into.mkdir(parents=True)
        saved = Saved(into)
        facts = self._facts()
        write_json(saved.facts, facts)
        saved.console.write_bytes(self._said(facts["serial_begins"]))
        with daemon.connect(self.host) as hypervisor:
            hypervisor.save(self._domain, saved.memory)
        copying.copy(self._files, saved.files)

    def go_on(self, saved: Path) -> None:
        """See `port.Machine`."""
        memory = Saved(saved).memory
        with daemon.connect(self.host) as hypervisor:
            found = hypervisor.find(self._domain)
            if found is not None and found.state is Power.PAUSED:
                hypervisor.resume(self._domain)
            elif (found is None or not found.is_on) and memory.exists():
                hypervisor.restore(memory)

    def end(self) -> None:
        """See `port.Machine`."""
        if entry := machine.find(self.host, self.device.id):
            removal.undo_domain(entry)

    def restore(self, kept: Path) -> None:
        """See `port.Machine`."""
        saved = Saved(kept)
        copying.replace(saved.files, self._files)
        log = self.host.log(self.device.serial_part)
        begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as file:
            file.write(saved.console.read_bytes())
        facts = read_json(saved.facts)
        self.host.ledger.intend(Kind.DOMAIN, self.device.id, **{**facts, "serial_begins": begins})
        with daemon.connect(self.host) as hypervisor:
            removal.forget(hypervisor, self._domain)
            hypervisor.define(domains.xml(machine.domain(self.host, self.device)))
            hypervisor.restore(saved.memory)

    def wake(self) -> str:
        """See `port.Machine`."""
        accelerator = machine.domain(self.host, self.device).accelerator
        within = timeouts.seconds(Step.SSH, self.device.arch, accelerator)
        boots: list[str] = []

        def probe() -> str:
            with setup.log_in(self.host, self.device) as there:
                linux.run(there, "date", "--utc", "--set", f"@{time.time():.3f}")
                # Where the kernel can't, the agent finds out by itself, if later.
                there.ask("ss", "--kill", "--tcp", "--numeric", "dst", self._hub)
                boots.append(linux.run(there, "cat", _BOOT_ID).strip())
            return ""

        try:
            waiting.wait_for(
                f"{self.device.id}: it answers", probe, within=within, every=_LOOK_EVERY,
                saw=self.host.saw, check=self._require_on,
            )  # fmt: skip
        except WaitTimedOut as exc:
            exc.log = self.host.log(self.device.serial_part)
            raise
        return boots[-1]

    @property
    def _hub(self) -> str:
        return self.device.nats_url.removeprefix("nats://")

    @property
    def _files(self) -> Path:
        return devices.places(self.host, self.device.id).root

    @property
    def _domain(self) -> str:
        return devices.domain_name(self.host, self.device.id)

    def _facts(self) -> dict[str, object]:
        entry = machine.find(self.host, self.device.id)
        if entry is None:
            raise LabError(f"{self.device.id} was never on", element=self.device.id)
        return dict(entry.facts)

    def _said(self, begins: object) -> bytes:
        log = self.host.log(self.device.serial_part)
        return log.read_bytes()[int(str(begins)) :] if log.exists() else b""

    def _require_on(self) -> None:
        if why := machine.off(self.host, self.device.id):
            log = daemon.machine_log(self.host, self._domain)
            raise LabError(f"{self.device.id}: {why}", element=self.device.id, log=log)
