"""
Processes that outlive the command that started them.

The order is what makes `kill -9` of `lab.up` harmless: a nonce is written to the ledger, the child
is spawned with the nonce in its environment, only then its pid and start time are noted. Between
spawn and note, the next command finds the child by its nonce: by our own record, never by a name.
"""

import contextlib
import hashlib
import json
import os
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fleet.scores.score import Score
from lab.errors import LabError, PartDied, PreflightFailed, WaitTimedOut
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry, Kind, Ledger
from lab.system import procfs, waiting
from lab.system.procfs import Identity
from lab.system.waiting import Probe

NONCE = "FLEET_LAB_NONCE"

_SECOND_LOOK = 5.0  # a part that runs but isn't ready gets this long before it is replaced: taste
_LOOK_EVERY = 0.05  # most parts are ready within a tenth of a second, and there may be forty
_TERM_WITHIN = 10.0
_KILL_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class Inside:
    """
    The namespaces a process runs in, each bound to a file (`lab.host.network`), and as which user.

    No *user*: as ours.
    """

    net: Path
    mnt: Path | None = None
    user: int | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """Return the files."""
        return (self.net, self.mnt) if self.mnt else (self.net,)

    def enter(self) -> tuple[str, ...]:
        """Return the prefix that enters them. It execs, so the pid stays; never `ip netns exec`."""
        mount = (f"--mount={self.mnt}",) if self.mnt else ()
        user = (f"--reuid={self.user}", f"--regid={self.user}", "--clear-groups")
        change = ("setpriv", *user, "--") if self.user is not None else ()
        return ("nsenter", f"--net={self.net}", *mount, "--", *change)


@dataclass(frozen=True)
class ProcessScore(Score[LabHost]):
    """
    *part* runs with just this configuration, and is ready.

    *env* is the whole environment, but for what `minimal_environment` adds. *config_digest* stands
    for what the process reads from files: another digest, argument or variable, and it is replaced.
    """

    part: str
    argv: tuple[str, ...]
    ready: Probe
    env: Mapping[str, str] = field(default_factory=dict)
    within: float = 30
    cwd: Path | None = None
    inside: Inside | None = None
    config_digest: str = ""
    says: str = ""
    """what it must have written to its log once, for want of anything to ask"""

    @property
    def name(self) -> str:
        return f"process {self.part}"

    @property
    def digest(self) -> str:
        """Return the digest of all that decides how the process runs."""
        wanted = [self.command(), sorted(self.env.items()), str(self.cwd), self.config_digest]
        return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()[:16]

    def command(self) -> tuple[str, ...]:
        """Return the whole command line, with the way into its namespaces and directory."""
        prefix = self.inside.enter() if self.inside else ()
        change = ("env", "-C", str(self.cwd), "--") if self.cwd else ()
        return (*prefix, *change, *self.argv)

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        entry = topology.ledger.find(Kind.PROCESS, self.part)
        if entry is None:
            return (f"{self.part} was never started",)
        who = identity_of(entry)
        if who is None:
            return (f"{self.part} is not running",)
        if other := self._other(entry, who):
            return (f"{self.part} runs {other}",)
        missing = waiting.look(self._probe(topology))
        return (f"{self.part} is not ready: {missing}",) if missing else ()

    def bring_about(self, topology: LabHost) -> None:
        if not self._comes_by_itself(topology):
            entry = topology.ledger.find(Kind.PROCESS, self.part)
            if entry:
                stop(entry)
                topology.ledger.forget(Kind.PROCESS, self.part)
            self._start(topology)
        self._await(topology, self.within)

    def _other(self, entry: Entry, who: Identity) -> str:
        """Say in what way the living process is not the one that is wanted."""
        if entry.facts["digest"] != self.digest:
            return "with another configuration"
        if self.inside and not procfs.is_inside(who.pid, self.inside.net):
            return "in namespaces that are gone"
        return ""

    def _comes_by_itself(self, topology: LabHost) -> bool:
        """Give what runs as wanted, but isn't ready, a while: it may just be starting."""
        entry = topology.ledger.find(Kind.PROCESS, self.part)
        who = identity_of(entry) if entry else None
        if entry is None or who is None or self._other(entry, who):
            return False
        _note(topology.ledger, self.part, who)
        try:
            self._await(topology, min(_SECOND_LOOK, self.within))
        except LabError:
            return False
        return True

    def _start(self, topology: LabHost) -> None:
        nonce, log = secrets.token_hex(12), topology.log(self.part)
        begins = log.stat().st_size if log.exists() else 0
        topology.ledger.intend(
            Kind.PROCESS, self.part, nonce=nonce, digest=self.digest, log_begins=begins
        )
        environment = {**minimal_environment(), **self.env, NONCE: nonce}
        pid = spawn(self.command(), environment, log)
        who = procfs.identify(pid)
        if who is not None:  # else it died at once, which the wait tells
            _note(topology.ledger, self.part, who)

    def _probe(self, topology: LabHost) -> Probe:
        def probe() -> str:
            entry = topology.ledger.find(Kind.PROCESS, self.part)
            if self.says and entry and not entry.facts.get("spoke"):
                words = topology.log(self.part).read_bytes()[entry.facts["log_begins"] :]
                if self.says.encode() not in words:
                    return f"it has not said {self.says!r} yet"
            return self.ready()

        return probe

    def _await(self, topology: LabHost, within: float) -> None:
        def check() -> None:
            entry = topology.ledger.find(Kind.PROCESS, self.part)
            if entry is None or identity_of(entry) is None:
                raise PartDied(
                    f"{self.part} ended while it was starting; its last words: "
                    f"{tail(topology.log(self.part))}",
                    element=self.part,
                    log=topology.log(self.part),
                )

        try:
            waiting.wait_for(
                f"{self.part} is ready",
                self._probe(topology),
                within=topology.budget(within),
                every=_LOOK_EVERY,
                saw=topology.saw,
                check=check,
            )
        except WaitTimedOut as exc:
            exc.log = topology.log(self.part)
            raise
        if self.says:
            topology.ledger.note(Kind.PROCESS, self.part, spoke=True)


def minimal_environment() -> dict[str, str]:
    """Return what every part inherits: a path and a home, and none of the caller's settings."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE")
    return {name: os.environ[name] for name in kept if name in os.environ}


def spawn(argv: tuple[str, ...], env: Mapping[str, str], log: Path) -> int:
    """Start *argv* in a session of its own, its output appended to *log*; return its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return os.posix_spawnp(
            argv[0],
            argv,
            env,
            file_actions=(
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), appending, 0o640),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ),
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGINT, signal.SIGTERM, signal.SIGPIPE),
        )
    except FileNotFoundError as exc:
        message = f"the program `{argv[0]}` is not installed"
        raise PreflightFailed(message, element=argv[0], hint="run `invoke lab.doctor`") from exc


def identity_of(entry: Entry) -> Identity | None:
    """Return the living process that *entry* speaks of, by its pid or else by its nonce."""
    if "pid" not in entry.facts:
        return next(iter(procfs.with_environment(NONCE, entry.facts["nonce"])), None)
    who = Identity(entry.facts["pid"], entry.facts["start"], entry.facts["boot"])
    procfs.reap(who.pid)
    return who if procfs.is_alive(who) else None


def pid_of(ledger: Ledger, part: str) -> int | None:
    """Return the pid of *part*, if it runs."""
    entry = ledger.find(Kind.PROCESS, part)
    who = identity_of(entry) if entry else None
    return who.pid if who else None


def stop(entry: Entry) -> None:
    """Ask the process of *entry* to end, then end it. Content when there is none."""
    who = identity_of(entry)
    if who is not None:
        end(who, entry.name)


def end(who: Identity, what: str, *, patience: float = _TERM_WITHIN) -> None:
    """SIGTERM, wait *patience*, SIGKILL; return once the process is gone."""
    for number, within in ((signal.SIGTERM, patience), (signal.SIGKILL, _KILL_WITHIN)):
        if within <= 0:
            continue
        _send(who, number)
        try:
            waiting.wait_for(f"{what} ends", _gone(who), within=within, every=0.02)
        except WaitTimedOut:
            if number is signal.SIGKILL:
                raise
        else:
            return


def tail(log: Path, lines: int = 8) -> str:
    """Return the last *lines* of a log, on one line each."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(an empty log)"


def _send(who: Identity, number: signal.Signals) -> None:
    if procfs.is_alive(who):
        with contextlib.suppress(ProcessLookupError):
            os.kill(who.pid, number)


def _gone(who: Identity) -> Probe:
    def probe() -> str:
        procfs.reap(who.pid)
        return "it still runs" if procfs.is_alive(who) else ""

    return probe


def _note(ledger: Ledger, part: str, who: Identity) -> None:
    ledger.note(Kind.PROCESS, part, pid=who.pid, start=who.start, boot=who.boot)
