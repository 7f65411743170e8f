"""
From a bare machine to a device: one score, of small ones that each can be told and interpreted.

Every step compares before it acts, so that whoever is ended in the middle goes on where it was,
and a second run changes nothing. Nothing here knows how the machine is reached: the same score runs
over SSH, and on the machine itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from fleet.scores.capabilities import RunsCommands
from fleet.scores.device import rendering
from fleet.scores.device.applying import AppliedScore
from fleet.scores.device.bundle import LAUNCHER
from fleet.scores.device.configuration import ADMIN, FleetDeviceSetupConfig
from fleet.scores.device.installing import AgentInstalledScore
from fleet.scores.device.late import OfUserScore
from fleet.scores.device.rendering import CONFIG_DIR, HOME, UNIT, USER
from fleet.scores.device.running import AgentRunningScore
from fleet.scores.linux.families import Purpose
from fleet.scores.linux.files import AbsentScore, DirectoryScore, FileScore
from fleet.scores.linux.packages import PackageScore
from fleet.scores.linux.services import SystemdServiceScore, UnitFileScore
from fleet.scores.linux.users import (
    AuthorizedKeysScore,
    LingerScore,
    PasswordScore,
    SubordinateIds,
    SudoersScore,
    UserScore,
)
from fleet.scores.score import Change, Outcome, Score

Step = Score[RunsCommands]

# Above what useradd gives away by itself (SUB_UID_MAX), and so nobody else's.
_CONTAINER_IDS = SubordinateIds(700_000_000, 65_536)
_PACKAGES = ("ca-certificates", "openssh-server", "sudo", "systemd-timesyncd")
_SYSTEMD = "/etc/systemd"
_ADMIN_HOME = f"/home/{ADMIN}"


def _silent(_: Outcome) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class FleetDeviceSetupScore(Score[RunsCommands]):
    """The machine is the device that *config* describes. *told* hears of each step after it."""

    config: FleetDeviceSetupConfig
    told: Callable[[Outcome], None] = field(default=_silent, compare=False)

    @property
    def name(self) -> str:
        """Return the name that it is interpreted by."""
        return "FleetDeviceSetup"

    def steps(self) -> tuple[Step, ...]:
        """Return what it is made of, in order: later ones build on earlier."""
        config = self.config
        return (
            *self.packages(),
            *_podman(),
            *_agent(config),
            *_system(config),
            *_admin(config),
            OfUserScore(UNIT, USER, lambda uid: AgentRunningScore(rendering.digest(config, uid))),
        )

    def packages(self) -> tuple[PackageScore, ...]:
        """Return the steps that need a source of packages, where what they install isn't there."""
        if not self.config.packages:
            return ()
        return PackageScore(purpose=Purpose.PODMAN), PackageScore(_PACKAGES)

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Tell the differences of every step, as far as they can be told beforehand."""
        return tuple(
            f"{step.name}: {difference}"
            for step in self.steps()
            for difference in step.differences(topology)
        )

    def bring_about(self, topology: RunsCommands) -> None:
        """Interpret the steps, up to the first that fails."""
        self._interpreted(topology, dry_run=False).expect()

    def interpret(self, topology: RunsCommands, *, dry_run: bool = False) -> Outcome:
        """Interpret step by step: a machine is asked about each once, when it is its turn."""
        return self._interpreted(topology, dry_run=dry_run)

    def _interpreted(self, topology: RunsCommands, *, dry_run: bool) -> Outcome:
        details: list[str] = []
        for step in self.steps():
            outcome = step.interpret(topology, dry_run=dry_run)
            self.told(outcome)
            details += (f"{outcome.score}: {detail}" for detail in outcome.details)
            if outcome.change is Change.FAILED:
                return Outcome(self.name, Change.FAILED, tuple(details), outcome.error)
        change = Change.CHANGED if details else Change.UNCHANGED
        return Outcome(self.name, change, tuple(details))


def _podman() -> Iterator[Step]:
    """The user whose podman the agent asks: it has no password, and is there without a login."""
    yield UserScore(
        USER, str(HOME), "/usr/sbin/nologin", system=True, subordinate_ids=_CONTAINER_IDS
    )
    # Closed: what is in there belongs to containers.
    yield DirectoryScore(str(HOME), 0o700, USER, USER)
    yield DirectoryScore(f"{HOME}/.config", 0o700, USER, USER)
    yield DirectoryScore(f"{HOME}/.config/containers", 0o700, USER, USER)
    storage = rendering.podman_storage().encode()
    yield FileScore(f"{HOME}/.config/containers/storage.conf", storage, 0o644, USER, USER)
    yield LingerScore(USER)
    yield SystemdServiceScore("podman.socket", user=USER)


def _agent(config: FleetDeviceSetupConfig) -> Iterator[Step]:
    yield AgentInstalledScore(config.bundle)
    yield FileScore(str(LAUNCHER), rendering.launcher().encode(), 0o755)
    yield DirectoryScore(str(CONFIG_DIR), 0o750, "root", USER)
    yield from _secrets(config)
    yield OfUserScore("the agent's configuration", USER, lambda uid: _config_file(config, uid))
    yield UnitFileScore(f"{_SYSTEMD}/system/{UNIT}", rendering.unit().encode())
    yield OfUserScore("what the unit waits for", USER, lambda uid: _unit_addition(config, uid))


def _secrets(config: FleetDeviceSetupConfig) -> Iterator[Step]:
    """What only the agent's user may read."""
    wanted = rendering.credentials_path(config)
    for suffix in (".json", ".creds"):
        path = CONFIG_DIR / f"credentials{suffix}"
        if path == wanted and config.hub.credentials:
            yield FileScore(str(path), config.hub.credentials.encode(), 0o600, USER, USER)
        else:
            yield AbsentScore(str(path))
    if config.hub.ca:
        yield FileScore(str(rendering.CA), config.hub.ca.encode())
    for name, login in sorted(config.registries.items()):
        if login.username:
            path = rendering.password_path(name)
            yield FileScore(str(path), login.password.encode(), 0o600, USER, USER)


def _config_file(config: FleetDeviceSetupConfig, uid: int) -> Step:
    content = rendering.agent_config(config, uid).encode()
    return FileScore(str(rendering.CONFIG), content, 0o640, "root", USER)


def _unit_addition(config: FleetDeviceSetupConfig, uid: int) -> Step:
    content = rendering.unit_addition(uid, rendering.digest(config, uid)).encode()
    return UnitFileScore(f"{_SYSTEMD}/system/{UNIT}.d/50-fleet.conf", content)


def _system(config: FleetDeviceSetupConfig) -> Iterator[Step]:
    yield AppliedScore(
        FileScore(f"{_SYSTEMD}/journald.conf.d/50-fleet.conf", rendering.journald(config).encode()),
        "systemd-journald.service",
    )
    yield AppliedScore(
        FileScore(
            f"{_SYSTEMD}/timesyncd.conf.d/50-fleet.conf", rendering.timesyncd(config).encode()
        ),
        "systemd-timesyncd.service",
    )
    yield SystemdServiceScore("systemd-timesyncd.service")


def _admin(config: FleetDeviceSetupConfig) -> Iterator[Step]:
    """The user who may do everything: by key, and last of all nobody else."""
    yield UserScore(ADMIN, _ADMIN_HOME, "/bin/bash")
    yield AuthorizedKeysScore(ADMIN, config.admin_keys)
    yield SudoersScore("50-fleet", f"{ADMIN} ALL=(ALL) NOPASSWD: ALL\n")
    yield PasswordScore(ADMIN, config.admin_password or None)
    # Early in order: sshd takes what it reads first, and cloud-init has a file there, too.
    yield AppliedScore(
        FileScore("/etc/ssh/sshd_config.d/10-fleet.conf", rendering.sshd(config).encode()),
        "ssh.service",
        check=("sshd", "-t"),
    )
