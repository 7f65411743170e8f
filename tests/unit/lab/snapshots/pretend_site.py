"""A lab of our own port, that says what was done to it, and fails where it is told to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from lab.errors import LabError, WaitTimedOut
from lab.snapshots.keys import Key

BOOT = "boot-1"
KEY = Key(
    image={"vm-01": "sha256 aaaa"},
    topology={"vm-01": "vm x86_64", "dev-01": "host"},
    qemu={"qemu-system-x86_64": "7.2.22 (sha256 bbbb), tcg"},
)


@dataclass
class Events:
    """All that was done, in order. What is in *failing* raises instead, as often as it is done."""

    done: list[str] = field(default_factory=list)
    failing: dict[str, BaseException] = field(default_factory=dict)

    def do(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]
        self.done.append(what)


@dataclass
class PretendService:
    name: str
    events: Events
    runs: bool = True

    def stop(self) -> None:
        self.events.do(f"stop {self.name}")
        self.runs = False


@dataclass
class PretendStore:
    """Nobody may copy it while one of its *writers* runs."""

    name: str
    events: Events
    writers: tuple[PretendService, ...]
    content: str = "as it was"

    def size(self) -> int:
        return 1024

    def copy(self, into: Path) -> None:
        self.events.do(f"copy {self.name}")
        assert not any(writer.runs for writer in self.writers)
        into.mkdir(parents=True)
        (into / "content").write_text(self.content)

    def put_back(self, kept: Path) -> None:
        self.events.do(f"put back {self.name}")
        assert not any(writer.runs for writer in self.writers)
        self.content = (kept / "content").read_text()


@dataclass
class PretendMachine:
    """*state* is one of running, paused and off; what it does in the wrong one it refuses."""

    name: str
    events: Events
    state: str = "running"
    boot: str = BOOT

    def size(self) -> int:
        return 4096

    def boot_id(self) -> str:
        assert self.state == "running"
        return self.boot

    def pause(self) -> None:
        self.events.do(f"pause {self.name}")
        self.state = "paused"

    def save(self, into: Path) -> None:
        self.events.do(f"save {self.name}")
        assert self.state == "paused"
        into.mkdir(parents=True)
        (into / "memory").write_text(self.boot)
        self.state = "off"

    def go_on(self, saved: Path) -> None:
        self.events.do(f"go on {self.name}")
        if self.state == "off":
            self.boot = (saved / "memory").read_text()
        self.state = "running"

    def end(self) -> None:
        self.events.do(f"end {self.name}")
        self.state = "off"

    def restore(self, kept: Path) -> None:
        self.events.do(f"restore {self.name}")
        assert self.state == "off"
        self.boot = (kept / "memory").read_text()
        self.state = "running"

    def wake(self) -> str:
        self.events.do(f"wake {self.name}")
        assert self.state == "running"
        return self.boot


@dataclass
class PretendJournal:
    name: str
    events: Events

    def size(self) -> int:
        return 512

    def copy(self, into: Path) -> None:
        self.events.do(f"copy {self.name}")
        into.mkdir(parents=True)

    def stop(self) -> None:
        self.events.do(f"stop {self.name}")

    def rebuild(self, kept: Path) -> None:
        self.events.do(f"rebuild {self.name}")
        assert kept.is_dir()


@dataclass
class PretendSite:
    """A lab with an operator on one store, a machine and a host device."""

    events: Events = field(default_factory=Events)
    wanted: Key = KEY
    silent: tuple[str, ...] = ()
    ill: bool = False

    def __post_init__(self) -> None:
        self.operator = PretendService("operator", self.events)
        self.etcd = PretendService("etcd", self.events)
        self.services = (self.operator, self.etcd)
        self.store = PretendStore("state", self.events, self.services)
        self.stores = (self.store,)
        self.machine = PretendMachine("vm-01", self.events)
        self.machines = (self.machine,)
        self.journals = (PretendJournal("dev-01", self.events),)

    @property
    def goes_on(self) -> bool:
        """Whether all runs."""
        return self.machine.state == "running" and all(each.runs for each in self.services)

    def key(self) -> Key:
        return self.wanted

    def require_well(self) -> None:
        if self.ill:
            raise LabError("the operator isn't running")

    def raise_ground(self) -> None:
        self.events.do("raise the ground")
        self._start()

    def raise_all(self) -> None:
        self.events.do("raise all")
        self._start()
        if self.machine.state != "running":
            self.machine.state, self.machine.boot = "running", "anew"

    def await_heard(self, since: datetime) -> Mapping[str, datetime]:
        self.events.do("hear")
        assert since <= datetime.now(UTC)
        if self.silent:
            raise WaitTimedOut(f"not heard: {', '.join(self.silent)}")
        return {"vm-01": datetime.now(UTC), "dev-01": datetime.now(UTC)}

    def _start(self) -> None:
        for service in self.services:
            service.runs = True
