"""
Which paths of the device no service may mount: those that reach what is the agent's own.

Whoever may write a deployment doesn't own the device: with the agent's state, its credentials or
podman's socket a container could do whatever the agent can, on any of its deployments' behalf. A
path reaches one of these if it is that, lies in it, or holds it, be it by symlinks, by another
mount or by a hard link: names are compared once symlinks are followed, places by the table of
mounts, and files by what they are. Where a symlink lies that leads to one is the agent's own, too.

The device's owner can allow paths, with all that lies in them. What is compared is what there is
while a container is made or started; one that was made before the agent began is asked no more.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from fleet import errors
from fleet.agent.runtimes.podman import mounts
from fleet.agent.settings import Settings
from fleet.contracts import scores

# Device and number: what a file is, whatever it is called.
_File: TypeAlias = tuple[int, int]

_PROC = Path("/proc")
# Who has one of these may follow what /proc shows of others.
_TRACING = frozenset({"SYS_PTRACE", "SYS_ADMIN", "ALL"})
# Below these every process shows its root, and its open files.
_PROCESSES = re.compile(r"/proc/(self|thread-self|[0-9]+)(/.*)?")


@dataclass(frozen=True, slots=True)
class HostPaths:
    """What services may not mount: *protected* maps a path to what it is, unless *allowed*."""

    protected: tuple[tuple[Path, str], ...] = ()
    allowed: tuple[Path, ...] = ()

    def check(self, service: scores.Service) -> None:
        """
        Check what *service* mounts. Blocks: it looks at files.

        :raises errors.HostPathForbidden: naming the path and what it reaches.
        """
        sees_processes = self.sees_processes(service)
        for volume in service.volumes:
            if volume.host_path and (told := self.refusal(volume.host_path, sees_processes)):
                raise errors.HostPathForbidden(told, element=service.name)

    def sees_processes(self, service: scores.Service) -> bool:
        """Tell whether *service* may look into processes that it can see."""
        return not _TRACING.isdisjoint(service.capabilities.add)

    def refusal(self, host_path: str, sees_processes: bool) -> str:
        """Say why a service may not mount *host_path*; "" where it may. Blocks."""
        if not self.protected:
            return ""
        path = _real(Path(host_path))
        if any(_is_in(path, _real(allowed)) for allowed in self.allowed):
            return ""
        if _PROCESSES.fullmatch(host_path) or _PROCESSES.fullmatch(str(path)):
            what = "the files of a process"
        elif sees_processes and _file(path) == _file(_PROC):
            what = "the files of every process, which its capabilities open"
        else:
            what = self._reached(path)
        if not what:
            return ""
        told = host_path if str(path) == host_path else f"{host_path} (which is {path})"
        return (
            f"hostPath {told} reaches {what}, which no service may mount: mount another"
            " directory, or have the device's owner add it to allow of [host_paths] in the"
            " agent's configuration"
        )

    def _reached(self, path: Path) -> str:
        """Tell what of the agent's *path* reaches; "" for nothing."""
        around = frozenset(_files(path))
        itself = _file(path)
        table = mounts.current()
        seen = table.places(path)
        for protected, what in self.protected:
            real = _real(protected)
            if any(_is_in(path, each) or _is_in(each, path) for each in _ways(protected)):
                return f"{what} ({protected})"
            if any(_shares(each, own) for each in seen for own in table.places(real)):
                return f"{what} ({protected})"
            if _file(real) in around or (itself is not None and itself in frozenset(_files(real))):
                return f"{what} ({protected})"
        return ""


def of_agent(settings: Settings, config: Path) -> HostPaths:
    """List what is the own of an agent with *settings*, from the file *config*."""
    protected = [
        (config, "the agent's configuration"),
        (settings.state_dir, "the agent's state"),
        (Path(settings.podman.socket.partition("unix://")[2]), "podman's socket"),
    ]
    if settings.nats.ca is not None:
        protected.append((settings.nats.ca, "what the agent trusts the hub by"))
    if settings.nats.credentials is not None:
        protected.append((settings.nats.credentials, "the agent's credentials"))
    protected += [
        (registry.password_file, "the password of a registry")
        for registry in settings.registries.values()
        if registry.password_file is not None
    ]
    if os.geteuid():
        # There its systemd takes commands.
        protected.append((Path(f"/run/user/{os.geteuid()}"), "the sockets of the agent's user"))
    return HostPaths(tuple(protected), settings.host_paths.allow)


def _real(path: Path) -> Path:
    """Follow the symlinks of *path*, as far as it is there and may be read."""
    try:
        return Path(os.path.realpath(path))
    except OSError:
        return path


def _ways(path: Path) -> Iterator[Path]:
    """
    List what *path* is, and where the symlinks lie that lead there.

    Who may write where a symlink lies may put another in its place.
    """
    yield _real(path)
    seen: set[Path] = set()
    todo = [path]
    while todo:
        way = todo.pop()
        for each in (way, *way.parents):
            place = _real(each.parent) / each.name
            target = _target(place)
            if target is not None and place not in seen:
                seen.add(place)
                yield place
                todo.append(place.parent / target)


def _target(path: Path) -> Path | None:
    """Read the symlink at *path*; None where there is none."""
    try:
        return path.readlink()
    except OSError:
        return None


def _shares(one: mounts.Place, other: mounts.Place) -> bool:
    """Tell whether one of two places lies in the other."""
    return one[0] == other[0] and (_is_in(one[1], other[1]) or _is_in(other[1], one[1]))


def _is_in(path: Path, directory: Path) -> bool:
    return path == directory or directory in path.parents


def _files(path: Path) -> Iterator[_File]:
    """List what *path* is, and the directories around it, as far as they can be seen."""
    for each in (path, *path.parents):
        found = _file(each)
        if found is not None:
            yield found


def _file(path: Path) -> _File | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
