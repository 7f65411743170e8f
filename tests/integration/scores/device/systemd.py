"""
A stand-in for systemd on a `Sandbox`, which has none: strict, and with a memory of its own.

It reads units from the sandbox's files when it is told to, and not before. It refuses units that
aren't there, an agent without a configuration, and a user's systemd before that user lingers.
"""

from dataclasses import dataclass, field

from fleet.scores.linux.machine import Answer
from tests.integration.scores.device.sandbox import Sandbox

AGENT = "fleet-agent.service"
AGENT_PID = "4242"
_DIRECTORY = "/etc/systemd/system"
_BROUGHT = ("systemd-journald.service", "systemd-timesyncd.service", "ssh.service")
_NO_BUS = b"Failed to connect to bus: No such file or directory\n"


@dataclass
class Unit:
    """A unit, as systemd has it. *loaded* is its text when that was read last."""

    file: str = "disabled"
    active: str = "inactive"
    loaded: str = ""
    environment: str = ""
    starts: int = 0


def _running() -> dict[str, Unit]:
    return {name: Unit("enabled", "active") for name in _BROUGHT}


@dataclass
class Systemd:
    """What `systemctl`, `loginctl` and the like say on *machine*."""

    machine: Sandbox
    units: dict[str, Unit] = field(default_factory=_running)
    of_users: dict[str, dict[str, Unit]] = field(default_factory=dict)
    agent_breaks: bool = False

    def __post_init__(self) -> None:
        self.machine.stand_ins.update(
            systemctl=lambda argv: self._system(argv[1:]),
            setpriv=self._of_user,
            loginctl=self._linger,
            journalctl=lambda _: Answer(0, b"its last words\n"),
            cat=self._environment,
            sshd=lambda _: Answer(0),
        )

    def _system(self, words: tuple[str, ...]) -> Answer:
        match words:
            case ("start" | "show", *_, unit) if unit.startswith("user@"):
                return self._manager(words[0], unit.removeprefix("user@").removesuffix(".service"))
            case ("try-reload-or-restart", "--", unit):
                self.units[unit].starts += 1
                return Answer(0)
            case ("daemon-reload",):
                return self._reload()
            case _:
                return self._told(words, self.units)

    def _told(self, words: tuple[str, ...], units: dict[str, Unit]) -> Answer:
        match words:
            case ("show", _, "--", *names):
                return Answer(0, "\n".join(self._shown(name, units) for name in names).encode())
            case ("enable", *_, name) if name in units:
                units[name].file = "enabled"
                return Answer(0)
            case ("start" | "restart" as verb, "--", name) if name in units:
                return self._start(name, units[name], verb)
        return Answer(5, b"", f"Unit {words[-1]} not found.\n".encode())

    def _shown(self, name: str, units: dict[str, Unit]) -> str:
        unit = units.get(name)
        load = "loaded" if unit else "not-found"
        unit = unit or Unit()
        outdated = "yes" if name == AGENT and unit.loaded != self._text() else "no"
        pid = AGENT_PID if unit.active == "active" else "0"
        return (
            f"Id={name}\nLoadState={load}\nActiveState={unit.active}\nMainPID={pid}\n"
            f"UnitFileState={unit.file if load == 'loaded' else ''}\nNeedDaemonReload={outdated}\n"
        )

    def _start(self, name: str, unit: Unit, verb: str) -> Answer:
        if name == AGENT and (self.agent_breaks or not self._has_configuration()):
            unit.active = "failed"
            return Answer(1, b"", b"Job for fleet-agent.service failed.\n")
        unit.starts += verb == "restart" or unit.active != "active"
        unit.active = "active"
        variables = [line for line in unit.loaded.splitlines() if line.startswith("Environment=")]
        unit.environment = "\0".join(line.removeprefix("Environment=") for line in variables)
        return Answer(0)

    def _has_configuration(self) -> bool:
        return self.machine.ask("test", "-s", "/etc/fleet-agent/config.toml").ok

    def _reload(self) -> Answer:
        if text := self._text():
            self.units.setdefault(AGENT, Unit()).loaded = text
        return Answer(0)

    def _text(self) -> str:
        unit = f"{_DIRECTORY}/{AGENT}"
        parts = (unit, f"{unit}.d/50-fleet.conf")
        return "".join(self.machine.really_ask("cat", "--", part).text for part in parts)

    def _environment(self, argv: tuple[str, ...]) -> Answer | None:
        if argv[-1] == f"/proc/{AGENT_PID}/environ":
            return Answer(0, self.units[AGENT].environment.encode())
        return None

    def _linger(self, argv: tuple[str, ...]) -> Answer:
        _, verb, user = argv
        assert verb == "enable-linger"
        if not self.machine.really_ask("id", "--user", "--", user).ok:
            return Answer(1, b"", f"Failed to look up user {user}: No such process\n".encode())
        for program in (("mkdir", "-p", "/var/lib/systemd/linger"), ("touch", _note(user))):
            self.machine.really_ask(*program)
        return Answer(0)

    def _manager(self, verb: str, uid: str) -> Answer:
        if verb == "start":
            self.of_users.setdefault(uid, {"podman.socket": Unit()})
            return Answer(0)
        active = "active" if uid in self.of_users else "inactive"
        return Answer(0, f"LoadState=loaded\nActiveState={active}\nUnitFileState=static\n".encode())

    def _of_user(self, argv: tuple[str, ...]) -> Answer:
        _, reuid, _, groups, env, _, runtime, *words = argv
        uid = reuid.removeprefix("--reuid=")
        assert (groups, env) == ("--init-groups", "env")
        assert runtime == f"XDG_RUNTIME_DIR=/run/user/{uid}"
        assert words[:2] == ["systemctl", "--user"]
        if uid not in self.of_users:
            return Answer(1, b"", _NO_BUS)
        return self._told(tuple(words[2:]), self.of_users[uid])


def _note(user: str) -> str:
    return f"/var/lib/systemd/linger/{user}"
