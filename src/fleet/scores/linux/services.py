"""
systemd's units: enabled, running, restarted when what they read has changed.

A unit of a user is one of that user's own systemd, which runs once the user lingers. It is asked
without a login, through its socket in ``/run/user``.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.linux import files, lookup
from fleet.scores.linux.files import DirectoryScore, FileScore
from fleet.scores.linux.machine import Answer, Machine, failed
from fleet.scores.score import Score

_PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload")
_UNITS = "/etc/systemd/system/"
_STARTED = "/var/lib/fleet/started"  # with which digest each service was started last
_LINES = "20"
_STARTS_WITHIN = 180.0  # over systemd's own limit of 90 s, so that its words are seen
_NO_SYSTEMD = (b"not been booted with systemd", b"failed to run command 'systemctl'")
_NO_BUS = b"Failed to connect to"


@dataclass(frozen=True, slots=True)
class UnitState:
    """What systemd says of a unit, in its own words."""

    unit: str
    load: str
    active: str
    file: str
    is_outdated: bool = False

    @property
    def exists(self) -> bool:
        """Tell whether there is such a unit."""
        return self.load != "not-found"

    @property
    def is_running(self) -> bool:
        """Tell whether it runs, as far as systemd knows."""
        return self.active in {"active", "reloading"}

    @property
    def is_enabled(self) -> bool:
        """
        Tell whether it is enabled, or starts at another's wish and can't be.

        A *linked* unit is only known to systemd under its name: nothing starts it at boot.
        """
        return self.file in {"enabled", "static", "alias", "indirect", "generated"}


def states(machine: Machine, *units: str, user: str | None = None) -> tuple[UnitState, ...]:
    """
    Ask systemd for the state of *units*, in one question.

    :raises errors.HostUnsupported: this machine doesn't run systemd.
    :raises errors.NotReady: the systemd of *user* doesn't run.
    """
    wanted = f"--property={','.join(_PROPERTIES)}"
    said = _ask(machine, "show", wanted, "--", *units, user=user).text
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in said.strip().split("\n\n")
    ]
    return tuple(
        UnitState(
            unit,
            block.get("LoadState", "not-found"),
            block.get("ActiveState", "inactive"),
            block.get("UnitFileState", ""),
            block.get("NeedDaemonReload") == "yes",
        )
        for unit, block in zip(units, blocks, strict=True)
    )


def state(machine: Machine, unit: str, *, user: str | None = None) -> UnitState:
    """Ask systemd for the state of *unit*; see `states`."""
    return states(machine, unit, user=user)[0]


def first_of(machine: Machine, *units: str, user: str | None = None) -> UnitState:
    """
    Return the first of *units* that exists: distributions name and split services differently.

    :raises errors.HostUnsupported: none does.
    """
    for found in states(machine, *units, user=user):
        if found.exists:
            return found
    what = f"{machine.name} has no unit {' or '.join(units)}; install the package that has it"
    raise errors.HostUnsupported(what, element=units[0])


def start(machine: Machine, unit: str, *, verb: str = "start", user: str | None = None) -> None:
    """
    Start (or, by another *verb*, restart) *unit*, and return when systemd says that it runs.

    :raises errors.CommandFailed: it doesn't; the message has the last lines of its journal.
    """
    answer = _told(machine, verb, "--", unit, user=user, within=_STARTS_WITHIN)
    if answer.ok and state(machine, unit, user=user).active != "failed":
        return
    said = answer.err.decode(errors="replace").strip()
    raise errors.CommandFailed(
        f"{machine.name}: {unit} doesn't {verb}: {said or 'it failed at once'}; its journal ends"
        f" with:\n{_journal(machine, unit, user)}",
        element=unit,
    )


@dataclass(frozen=True, slots=True)
class SystemdServiceScore(Score[RunsCommands]):
    """
    A unit is enabled and running, or neither, as wanted.

    *unit* may be several names: the first that exists is meant. With *restarted_when*, the digest
    of what the service reads, it is restarted when it was last started with another.
    """

    unit: str | tuple[str, ...]
    enabled: bool = True
    running: bool = True
    user: str | None = None
    restarted_when: str = ""

    @property
    def name(self) -> str:
        """Name the unit, and whose it is."""
        whose = f" of {self.user}" if self.user else ""
        return f"service {self._units()[0]}{whose}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare with what systemd says."""
        machine = topology.machine
        if self.user and lookup.find(machine, self.user) is None:
            return (f"there is no user {self.user}",)
        try:
            found = first_of(machine, *self._units(), user=self.user)
        except errors.NotReady as exc:
            return (str(exc),)
        return tuple(self._compared(machine, found))

    def bring_about(self, topology: RunsCommands) -> None:
        """Enable and start it, or the contrary, as far as it isn't."""
        machine = topology.machine
        found = first_of(machine, *self._units(), user=self.user)
        if found.is_outdated:
            _ask(machine, "daemon-reload", user=self.user)
        if self._is_toggled(found):
            self._toggle(machine, found)
        if not self.running:
            _ask(machine, "stop", "--", found.unit, user=self.user, within=_STARTS_WITHIN)
        elif not found.is_running:
            start(machine, found.unit, user=self.user)
        elif self._has_read_other(machine, found):
            start(machine, found.unit, verb="restart", user=self.user)
        if self.running and self._has_read_other(machine, found):
            self._remember(topology, found)

    def _compared(self, machine: Machine, found: UnitState) -> Iterator[str]:
        if found.load == "masked":
            what = f"{machine.name}: somebody masked {found.unit}; `systemctl unmask {found.unit}`"
            raise errors.NotOurs(f"{what} if it may run", element=found.unit)
        if found.load != "loaded":
            what = f"{machine.name}: systemd can't read {found.unit} ({found.load})"
            raise errors.HostUnsupported(what, element=found.unit)
        if self._is_toggled(found):
            yield f"{found.unit} is {found.file or 'not to be enabled'}"
        if self.running is not found.is_running:
            yield f"{found.unit} is {found.active}"
        elif self.running and found.is_outdated:
            yield f"systemd has read an older {found.unit}"
        if self.running and found.is_running and self._has_read_other(machine, found):
            yield f"{found.unit} was started with other settings"

    def _is_toggled(self, found: UnitState) -> bool:
        """Tell whether to enable or disable it. A static unit can't be disabled either."""
        if self.enabled:
            return not found.is_enabled
        return found.file in {"enabled", "enabled-runtime"}

    def _toggle(self, machine: Machine, found: UnitState) -> None:
        verb = "enable" if self.enabled else "disable"
        _ask(machine, verb, "--quiet", "--", found.unit, user=self.user)
        if self.enabled and found.file.startswith("linked"):
            after = state(machine, found.unit, user=self.user)
            if not after.is_enabled:
                what = f"{machine.name}: {found.unit} is linked, and can't be enabled"
                why = "its file has no [Install] section"
                raise errors.HostUnsupported(f"{what}: {why}", element=found.unit)

    def _has_read_other(self, machine: Machine, found: UnitState) -> bool:
        if not self.restarted_when:
            return False
        return files.read(machine, self._note(found)) != self.restarted_when.encode()

    def _remember(self, topology: RunsCommands, found: UnitState) -> None:
        DirectoryScore(_STARTED).interpret(topology).expect()
        files.write(topology.machine, self._note(found), self.restarted_when.encode(), mode=0o644)

    def _note(self, found: UnitState) -> str:
        return f"{_STARTED}/{self.user or 'system'}-{found.unit}"

    def _units(self) -> tuple[str, ...]:
        units = (self.unit,) if isinstance(self.unit, str) else self.unit
        if not units:
            raise errors.InvalidConfig("a service without the name of a unit", element="unit")
        return units


@dataclass(frozen=True, slots=True)
class UnitFileScore(Score[RunsCommands]):
    """A unit's file, or an addition in its ``.d`` directory; systemd has read it."""

    path: str
    content: bytes

    @property
    def name(self) -> str:
        """Name the file."""
        return f"unit {self.path.removeprefix(_UNITS)}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare the file, and ask systemd whether it has read it."""
        if different := self._file().differences(topology):
            return different
        found = state(topology.machine, self._unit())
        return (f"systemd has read an older {found.unit}",) if found.is_outdated else ()

    def bring_about(self, topology: RunsCommands) -> None:
        """Write it, and have systemd read it."""
        directory = self.path.rpartition("/")[0]
        if files.look(topology.machine, directory)[directory] is None:
            DirectoryScore(directory).bring_about(topology)
        self._file().interpret(topology).expect()
        _ask(topology.machine, "daemon-reload")

    def _file(self) -> FileScore:
        return FileScore(self.path, self.content)

    def _unit(self) -> str:
        *_, directory, file = self.path.split("/")
        return directory.removesuffix(".d") if directory.endswith(".d") else file


def _ask(machine: Machine, *words: str, user: str | None = None, within: float = 60.0) -> Answer:
    answer = _told(machine, *words, user=user, within=within)
    if not answer.ok:
        raise failed(machine, ("systemctl", *words), answer)
    return answer


def _told(machine: Machine, *words: str, user: str | None = None, within: float = 60.0) -> Answer:
    answer = machine.ask(*_systemctl(machine, user), *words, within=within)
    if any(complaint in answer.err for complaint in _NO_SYSTEMD):
        what = f"{machine.name} doesn't run systemd, which services need"
        raise errors.HostUnsupported(what, element="systemd")
    if user and answer.err.startswith(_NO_BUS):
        what = f"{machine.name}: the systemd of {user} doesn't run; let {user} linger first"
        raise errors.NotReady(what, element=user)
    return answer


def _systemctl(machine: Machine, user: str | None) -> tuple[str, ...]:
    if user is None:
        return ("systemctl",)
    account = lookup.must_find(machine, user)
    return (
        "setpriv",
        f"--reuid={account.uid}",
        f"--regid={account.gid}",
        "--init-groups",
        "env",
        f"HOME={account.home}",
        f"XDG_RUNTIME_DIR=/run/user/{account.uid}",
        "systemctl",
        "--user",
    )


def _journal(machine: Machine, unit: str, user: str | None) -> str:
    which = "--unit" if user is None else "--user-unit"
    words = ("journalctl", "--no-pager", "--output=cat", f"--lines={_LINES}", f"{which}={unit}")
    return machine.ask(*words).text.strip() or "nothing"
