"""
Machines in memory, for what this host can't do: systemd, and package managers of others.

`SystemdMachine` refuses what systemd refuses: units that aren't there, starting what is masked,
and the systemd of a user who doesn't linger. Files are in a directory of the test, by real
coreutils.
"""

import dataclasses
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.linux.machine import WITHIN, Answer

NOT_BOOTED = (
    b"System has not been booted with systemd as init system (PID 1). Can't operate.\n"
    b"Failed to connect to bus: Host is down\n"
)
TOGGLED = {"enabled", "enabled-runtime", "disabled", "linked", "linked-runtime"}


@dataclass
class Unit:
    """A unit, as systemd has it."""

    file: str = "disabled"
    active: str = "inactive"
    load: str = "loaded"
    outdated: bool = False
    breaks: bool = False
    has_install: bool = True
    starts: int = 0


@dataclass
class SystemdMachine:
    """A machine that runs systemd, with one user called ``worker``."""

    root: Path
    units: dict[str, Unit] = field(default_factory=dict)
    of_worker: dict[str, Unit] | None = None
    is_booted: bool = True
    asked: list[tuple[str, ...]] = field(default_factory=list)
    name: str = "fake"
    libvirt: str = "test:///default"

    def ask(  # noqa: PLR0911 - one answer per program
        self,
        *argv: str,
        stdin: bytes = b"",
        within: float = WITHIN,  # noqa: ARG002 - the port's
    ) -> Answer:
        self.asked.append(argv)
        match argv:
            case ("getent", "--", "passwd", "worker"):
                return Answer(0, b"worker:x:993:990::/home/worker:/bin/sh\n")
            case ("getent", "--", "passwd", _):
                return Answer(2)
            case ("systemctl", *words):
                return self._systemctl(words, self.units)
            case ("setpriv", "--reuid=993", "--regid=990", "--init-groups", *rest):
                return self._of_worker(rest)
            case ("loginctl", "enable-linger", "worker"):
                return self._linger()
            case ("journalctl", *_):
                return Answer(0, b"its last words\n")
            case _:
                return self._on_files(argv, stdin)

    def _of_worker(self, rest: list[str]) -> Answer:
        env, home, runtime, systemctl, user, *words = rest
        expected = ["env", "HOME=/home/worker", "XDG_RUNTIME_DIR=/run/user/993", "systemctl"]
        assert [env, home, runtime, systemctl] == expected
        assert user == "--user"
        if self.of_worker is None:
            return Answer(1, b"", b"Failed to connect to bus: No such file or directory\n")
        return self._systemctl(words, self.of_worker)

    def _linger(self) -> Answer:
        if not self.is_booted:
            return Answer(1, b"", NOT_BOOTED)
        note = self.root / "var/lib/systemd/linger/worker"
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()
        return Answer(0)

    def _systemctl(self, words: list[str], units: dict[str, Unit]) -> Answer:
        if not self.is_booted:
            return Answer(1, b"", NOT_BOOTED)
        match words:
            case ["show", _, "--", *names]:
                return Answer(0, "\n".join(_shown(name, units) for name in names).encode())
            case ["daemon-reload"]:
                for unit in units.values():
                    unit.outdated = False
                return Answer(0)
            case ["enable" | "disable" as verb, "--quiet", "--", name]:
                return self._enable(units.get(name), name, f"{verb}d")
            case ["start" | "restart" | "stop" as verb, "--", name]:
                return self._run(units.get(name), name, verb)
            case _:
                raise AssertionError(f"systemctl knows no {words}")

    def _enable(self, unit: Unit | None, name: str, state: str) -> Answer:
        if unit is None:
            return Answer(
                1, b"", f"Failed to enable unit: Unit file {name} does not exist.".encode()
            )
        if unit.file.startswith("linked") and state == "disabled":
            del self.units[name]  # systemd removes the link, and so the unit
        elif unit.file in TOGGLED and unit.has_install:
            unit.file = state
        return Answer(0)

    def _run(self, unit: Unit | None, name: str, verb: str) -> Answer:
        if unit is None:
            return Answer(5, b"", f"Failed to {verb} {name}: Unit {name} not found.".encode())
        if unit.load == "masked":
            return Answer(1, b"", f"Failed to {verb} {name}: Unit {name} is masked.".encode())
        if verb == "stop":
            unit.active = "inactive"
            return Answer(0)
        if unit.breaks:
            unit.active = "failed"
            return Answer(1, b"", f"Job for {name} failed.".encode())
        unit.starts += unit.active != "active" or verb == "restart"
        unit.active = "active"
        return Answer(0)

    def _on_files(self, argv: tuple[str, ...], stdin: bytes) -> Answer:
        prefix = str(self.root)
        inside = [_inside(word, prefix) for word in argv]
        done = subprocess.run(
            inside, input=stdin, capture_output=True, check=False, env={"LC_ALL": "C"}
        )
        out = done.stdout.replace(prefix.encode(), b"")
        return Answer(done.returncode, out, done.stderr.replace(prefix.encode(), b""))


def _inside(word: str, prefix: str) -> str:
    if word.startswith("/"):
        return f"{prefix}{word}"
    return word.replace("of=/", f"of={prefix}/", 1) if word.startswith("of=/") else word


def _shown(name: str, units: Mapping[str, Unit]) -> str:
    unit = units.get(name)
    if unit is None:
        return (
            f"Id={name}\nLoadState=not-found\nActiveState=inactive\n"
            "UnitFileState=\nNeedDaemonReload=no\n"
        )
    outdated = "yes" if unit.outdated else "no"
    return (
        f"Id={name}\nLoadState={unit.load}\nActiveState={unit.active}\n"
        f"UnitFileState={unit.file}\nNeedDaemonReload={outdated}\n"
    )


Program = Callable[[tuple[str, ...]], Answer]


@dataclass
class PackagedMachine:
    """A machine of some distribution, whose package manager is *manager*."""

    release: str
    manager: Program
    arch: str = "x86_64"
    asked: list[tuple[str, ...]] = field(default_factory=list)
    name: str = "packaged"
    libvirt: str = "test:///default"

    def ask(
        self,
        *argv: str,
        stdin: bytes = b"",  # noqa: ARG002 - the port's
        within: float = WITHIN,  # noqa: ARG002 - the port's
    ) -> Answer:
        self.asked.append(argv)
        match argv:
            case ("cat", "--", "/etc/os-release"):
                return Answer(0, self.release.encode())
            case ("uname", "-m"):
                return Answer(0, f"{self.arch}\n".encode())
            case _:
                return self.manager(argv)


@dataclasses.dataclass
class Apt:
    """Debian's package manager: what it knows, what is installed, and who is in the way."""

    known: set[str]
    installed: set[str] = field(default_factory=set)
    known_after_update: set[str] = field(default_factory=set)
    locked_times: int = 0
    interrupted: bool = False

    def __call__(self, argv: tuple[str, ...]) -> Answer:
        match argv:
            case ("dpkg-query", "--show", _, "--", *names):
                return self._query(names)
            case ("apt-get", *_, "update"):
                self.known |= self.known_after_update
                return Answer(0)
            case ("env", _, "dpkg", "--configure", "--force-confold", "-a"):
                self.interrupted = False
                return Answer(0)
            case ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *words):
                return self._install(words[words.index("install") + 1 :])
            case _:
                raise AssertionError(f"no such program: {argv}")

    def _query(self, names: list[str]) -> Answer:
        here = [name for name in names if name in self.installed]
        missing = [name for name in names if name not in self.installed]
        complaints = "".join(f"dpkg-query: no packages found matching {m}\n" for m in missing)
        out = "".join(f"{name} installed\n" for name in here)
        return Answer(1 if missing else 0, out.encode(), complaints.encode())

    def _install(self, names: list[str]) -> Answer:
        if self.locked_times:
            self.locked_times -= 1
            return Answer(
                100,
                b"",
                b"E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711"
                b" (unattended-upgr)\nE: Unable to acquire the dpkg frontend lock\n",
            )
        if self.interrupted:
            words = b"E: dpkg was interrupted, you must manually run 'dpkg --configure -a'\n"
            return Answer(100, b"", words)
        for name in names:
            if name not in self.known:
                return Answer(100, b"", f"E: Unable to locate package {name}\n".encode())
        self.installed |= set(names)
        return Answer(0)
