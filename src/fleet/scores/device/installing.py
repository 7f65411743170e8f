"""
Puts an agent onto a device: its packages in a folder of their own, and the link that names it.

A folder appears whole or not at all, and the link is swapped by one rename, so that whatever moment
the power goes at, one whole version is the current one. The version before stays, to go back to.
"""

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.device.bundle import CURRENT, HOME, Bundle
from fleet.scores.linux import files
from fleet.scores.linux.machine import Machine, run
from fleet.scores.score import Score

PREVIOUS = HOME / "previous"
_UNPACK_SECONDS = 300.0  # under emulation, with byte code to make
_PYTHON = "/usr/bin/python3"


@dataclass(frozen=True, slots=True)
class AgentUnpackedScore(Score[RunsCommands]):
    """The packages of this version lie in its folder."""

    bundle: Bundle

    @property
    def name(self) -> str:
        """Name the version."""
        return f"agent {self.bundle.version} unpacked"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Look for the folder: it has its name only once it is whole."""
        folder = str(self.bundle.folder)
        found = files.look(topology.machine, folder)[folder]
        return () if found is not None else (f"{folder} doesn't exist",)

    def bring_about(self, topology: RunsCommands) -> None:
        """Unpack beside, and rename."""
        machine, folder = topology.machine, str(self.bundle.folder)
        _refuse_foreign(machine, self.bundle)
        beside = str(HOME / f".{self.bundle.version}.partial")
        run(machine, "rm", "--recursive", "--force", "--", beside)
        run(machine, "install", "--directory", "--mode=0755", "--", beside)
        argv = ("tar", "--extract", "--gzip", "--no-same-owner", "--directory", beside)
        run(machine, *argv, stdin=_content(self.bundle), within=_UNPACK_SECONDS)
        if not self.bundle.compiled:
            _compile(machine, beside, folder)
        run(machine, "sync", "--file-system", "--", beside)
        run(machine, "mv", "--no-target-directory", "--", beside, folder)


@dataclass(frozen=True, slots=True)
class AgentInstalledScore(Score[RunsCommands]):
    """The packages of this version lie in its folder, and the link names it."""

    bundle: Bundle

    @property
    def name(self) -> str:
        """Name the version."""
        return f"agent {self.bundle.version}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare folder and link."""
        return (
            *AgentUnpackedScore(self.bundle).differences(topology),
            *_current(self.bundle.folder).differences(topology),
        )

    def bring_about(self, topology: RunsCommands) -> None:
        """Unpack, remember which version was the current one, and swap the link."""
        for score in (AgentUnpackedScore(self.bundle), LinkSwappedScore(self.bundle.folder)):
            score.interpret(topology).expect()


@dataclass(frozen=True, slots=True)
class LinkSwappedScore(Score[RunsCommands]):
    """The link names *folder*; another link names what it led to before."""

    folder: PurePosixPath

    @property
    def name(self) -> str:
        """Name the link."""
        return f"link {CURRENT}"

    def differences(self, topology: RunsCommands) -> tuple[str, ...]:
        """Compare where it leads."""
        return _current(self.folder).differences(topology)

    def bring_about(self, topology: RunsCommands) -> None:
        """Note first, then swap: whoever dies in between knows the way back."""
        before = current(topology.machine)
        if before is not None:
            files.LinkScore(str(PREVIOUS), before).interpret(topology).expect()
        _current(self.folder).interpret(topology).expect()


def current(machine: Machine) -> str | None:
    """Return what the link leads to, if it is there."""
    return _target(machine, CURRENT)


def previous(machine: Machine) -> str | None:
    """Return what the link led to before, if anything."""
    return _target(machine, PREVIOUS)


def prune(machine: Machine) -> None:
    """Remove every version but the current one and the one before; also what a kill left."""
    kept = [each for each in (current(machine), previous(machine)) if each is not None]
    names = [PurePosixPath(each).name for each in kept]
    spared = [part for name in names for part in ("-not", "-name", name)]
    among = ("find", str(HOME), "-mindepth", "1", "-maxdepth", "1", "-type", "d")
    run(machine, *among, *spared, "-exec", "rm", "--recursive", "--force", "--", "{}", "+")


def _current(folder: PurePosixPath) -> files.LinkScore:
    return files.LinkScore(str(CURRENT), str(folder))


def _target(machine: Machine, path: PurePosixPath) -> str | None:
    found = files.look(machine, str(path))[str(path)]
    return found.target if found is not None and found.kind is files.Kind.LINK else None


def _content(bundle: Bundle) -> bytes:
    try:
        content = bundle.path.read_bytes()
    except OSError as exc:
        raise errors.InvalidConfig(f"{bundle.path}: {exc.strerror}", element="bundle") from exc
    if hashlib.sha256(content).hexdigest() != bundle.digest:
        raise errors.InvalidConfig(
            f"{bundle.path} is damaged: it doesn't have the digest {bundle.digest}; make it anew",
            element="bundle",
        )
    return content


def _refuse_foreign(machine: Machine, bundle: Bundle) -> None:
    """
    Compare what the bundle is for with what is there.

    :raises errors.HostUnsupported: its compiled packages would not load.
    """
    arch = run(machine, "uname", "-m").strip()
    answer = machine.ask(_PYTHON, "-I", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    python = answer.text.strip() if answer.ok else "none"
    if (arch, python) != (bundle.arch, bundle.python):
        raise errors.HostUnsupported(
            f"{machine.name} is {arch} with Python {python} as {_PYTHON}, and the bundle is for"
            f" {bundle.arch} with Python {bundle.python}; bundle the agent for that",
            element=bundle.version,
        )


def _compile(machine: Machine, beside: str, folder: str) -> None:
    """Make the byte code now: the agent can't write there, and would compile at each start."""
    run(
        machine, _PYTHON, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash",
        "-s", beside, "-p", folder, beside,
        within=_UNPACK_SECONDS,
    )  # fmt: skip
