"""
A lab that is files in a directory: the fake of `lab.plugin.port.LabPort`.

All processes of a run see the same files, as they would see the same lab. It refuses what the real
one refuses (tests/integration/lab/plugin/test_port.py holds both to the same), and writes down who
asked it for what. What shall go wrong with it is a `Plan`.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fleet.scores.score import Change
from lab.errors import LabError, NothingThere, PreflightFailed, TopologyInvalid
from lab.host import labs
from lab.plugin.port import Answer, Status
from lab.timeline import events
from lab.timeline.events import Event

SAID = "1970-01-01 the agent said this"
SERIAL = "[ 0.000000] the kernel said this"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a lab is to be, and what goes wrong with it."""

    devices: tuple[dict[str, Any], ...] = (
        {"id": "d0", "rootless": False, "backend": "host"},
        {"id": "d1", "rootless": True, "backend": "host"},
    )
    up_fails: str = ""
    up_dies: bool = False
    """the process that brings it up is gone in the middle"""
    down_fails: str = ""
    misfits: tuple[str, ...] = ()
    """the host can't carry a lab, for these reasons; whoever tries is refused"""
    ask_fails: str = ""
    times_out: bool = False
    """whoever asks a device is interrupted by pytest-timeout"""
    was_up_as: str = ""
    """the topology of one that is up before the run begins"""
    tells: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FakeLab:
    """The lab *name* in the directory *world*."""

    world: Path
    name: str
    topology: str = ""

    @classmethod
    def planned(cls, world: Path, name: str, topology: str = "", **plan: Any) -> "FakeLab":
        """Make a world as *plan* says (see `Plan`), and return the lab in it."""
        world.mkdir(parents=True, exist_ok=True)
        made = cls(world, name, topology)
        made.plan(**plan)
        if made._plan.was_up_as:
            replace(made, topology=made._plan.was_up_as).up(world / "before.log")
            made._calls.unlink()
        return made

    def plan(self, **plan: Any) -> None:
        """Let things be as *plan* says from now on."""
        (self.world / "plan.json").write_text(json.dumps(asdict(Plan(**plan))))

    @property
    def calls(self) -> list[str]:
        """What was done to the lab, in order."""
        return [told["what"] for told in self._told]

    @property
    def callers(self) -> list[int]:
        """Who did it, by pid."""
        return [told["pid"] for told in self._told]

    @property
    def state(self) -> Path:
        """See `port.LabPort`."""
        labs.state_of(self.name)  # refuses what is no name
        return self.world / "state" / self.name

    @property
    def down_line(self) -> str:
        """See `port.LabPort`."""
        return f"rm -r {self.state}"

    def up(self, log: Path) -> None:
        """See `port.LabPort`."""
        self._note("up")
        plan = self._plan
        self._say(log, "control-plane\n ✓ control-plane: etcd  (1.0 s)")
        self._refuse_misfits("lab.up")
        known = self._up.read_text() if self._up.exists() else ""
        if known and self.topology not in {"", known}:
            raise TopologyInvalid(f"lab {self.name} has topology {known}, not {self.topology}")
        self._up.parent.mkdir(parents=True, exist_ok=True)
        self._up.write_text(known or self.topology or "smoke")
        self._tell()
        if plan.up_dies:
            os._exit(9)
        if plan.up_fails:
            self._say(log, f"failed: {plan.up_fails}")
            raise LabError(plan.up_fails, log=log, hint="mend it")

    def down(self, log: Path) -> None:
        """See `port.LabPort`."""
        self._note("down")
        self._say(log, "taking it down")
        self._refuse_misfits("lab.down")
        if self._plan.down_fails:
            raise LabError(self._plan.down_fails, log=log)
        if not self._up.exists():
            return
        for path in self.state.iterdir():
            if path.name != "logs":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def status(self) -> Status:
        """See `port.LabPort`."""
        found: Status = {
            "name": self.name,
            "topology": None,
            "stage": "down",
            "problems": [],
            "kubernetes": None,
            "nats": None,
            "devices": [],
            "paths": {"state": str(self.state), "logs": str(self.state / "logs")},
        }
        if not self._up.exists():
            return found
        plan = self._plan
        return {
            **found,
            "topology": self._up.read_text(),
            "stage": "ready",
            "kubernetes": {
                "backend": "processes", "kubeconfig": "/kubeconfig", "server": "https://10.0.0.1",
            },
            "nats": {"url": "nats://10.0.0.1:4222", "credentials": {"admin": "/admin"}},
            "devices": [self._device(number, each) for number, each in enumerate(plan.devices)],
            **plan.tells,
        }  # fmt: skip

    def misfits(self) -> tuple[str, ...]:
        """See `port.LabPort`."""
        return tuple(self._plan.misfits)

    def ask(self, device: str, argv: Sequence[str], *, within: float) -> Answer:
        """See `port.LabPort`."""
        plan = self._plan
        if plan.times_out:
            import pytest  # noqa: PLC0415 - as pytest-timeout does, in a handler of SIGALRM

            pytest.fail("Timeout >1.0s")
        if plan.ask_fails:
            raise LabError(plan.ask_fails)
        known = [each["id"] for each in self.status()["devices"]]
        if device not in known:
            error = NothingThere(f"lab {self.name} has no device {device}")
            return Answer(error.exit_code, "", f"failed: {error}")
        if list(argv) == ["fleet-agent", "status"]:
            return Answer(0, f"state of {device}\n", "")
        if argv[0] == "journalctl":
            return Answer(0, f"journal of {device}\n", "")
        done = subprocess.run(argv, capture_output=True, text=True, timeout=within, check=False)
        return Answer(done.returncode, done.stdout, done.stderr)

    def _device(self, number: int, planned: dict[str, Any]) -> Status:
        return {"address": f"10.0.0.{10 + number}", "arch": "x86_64", "labels": {}, **planned}

    def _refuse_misfits(self, command: str) -> None:
        if self._plan.misfits:
            raise PreflightFailed(f"{command} ended with 3: the host won't do")

    def _tell(self) -> None:
        logs = self.state / "logs"
        logs.mkdir(exist_ok=True)
        events.append(
            logs / events.NAME,
            Event(
                at=time.time(),
                stage="control-plane",
                score="etcd",
                seconds=1,
                change=Change.CHANGED,
            ),
        )
        for device in self._plan.devices:
            (logs / f"agent-{device['id']}.log").write_text(f"{SAID} ({device['id']})\n")
            if "serial" in device:
                Path(device["serial"]).write_text(SERIAL + "\n")
        (logs / "operator.log").write_text("the operator said this\n")

    def _note(self, what: str) -> None:
        with self._calls.open("a") as file:
            file.write(json.dumps({"pid": os.getpid(), "what": what}) + "\n")

    def _say(self, log: Path, words: str) -> None:
        with log.open("a") as file:
            file.write(words + "\n")

    @property
    def _calls(self) -> Path:
        return self.world / "calls.jsonl"

    @property
    def _told(self) -> list[dict[str, Any]]:
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def _up(self) -> Path:
        return self.state / "lab.json"

    @property
    def _plan(self) -> Plan:
        return Plan(**json.loads((self.world / "plan.json").read_text()))
