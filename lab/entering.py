"""
Enters a device as the lab's own parts do: its namespaces, its podman, its agent's configuration.

The command takes our place: stdin, stdout, the terminal, signals and exit status are its own.
Never by `ip netns exec`: that remounts ``/sys``, and containers find no cgroups.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import NoReturn

from lab import mounts, processes
from lab.devices import environment
from lab.devices import host as host_devices
from lab.devices.host import HostDevice
from lab.errors import NothingThere
from lab.host import LabHost

_OF_THE_TERMINAL = ("TERM", "COLORTERM", "LC_ALL", "LC_CTYPE")


def enter(host: LabHost, device: HostDevice, command: Sequence[str]) -> NoReturn:
    """
    Become *command*, or a shell, in *device*.

    :raises NothingThere: the device isn't up, or has no such program.
    """
    inside = host_devices.inside(host, device)
    if not all(map(mounts.is_namespace, inside.files)):
        hint = f"invoke lab.up --name {host.name}"
        raise NothingThere(f"{device.id} is not up", element=device.id, hint=hint)
    env = {**processes.minimal_environment(), **variables(host, device, os.environ)}
    wanted = tuple(command) or shell()
    if shutil.which(wanted[0], path=env["PATH"]) is None:
        raise NothingThere(f"{device.id} has no program {wanted[0]!r}", element=wanted[0])
    argv = (*inside.enter(), "env", "-C", env["HOME"], "--", *wanted)
    os.execvpe(argv[0], argv, env)  # noqa: S606 - that is what it is for


def shell() -> tuple[str, ...]:
    """Return the shell: one that reads nobody's settings, so that the prompt is ours."""
    return ("bash", "--noprofile", "--norc", "-i") if shutil.which("bash") else ("sh", "-i")


def variables(host: LabHost, device: HostDevice, terminal: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a command in *device* finds set: its podman, its agent, and a prompt."""
    root = host_devices.root_of(host, device.id)
    return {
        **{name: terminal[name] for name in _OF_THE_TERMINAL if name in terminal},
        **host_devices.environment_of(host, device),
        "FLEET_AGENT_CONFIG": str(root / "agent.toml"),
        "PATH": f"{environment.environment() / 'bin'}:{terminal.get('PATH', os.defpath)}",
        "PS1": f"{device.id}:\\w\\$ ",
    }
