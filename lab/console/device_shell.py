"""
Enters a device as the lab's own parts do: its namespaces, its podman, its agent's configuration; a
machine by SSH, or at its console.

The command takes our place: stdin, stdout, the terminal, signals and exit status are its own.
Never by `ip netns exec`: that remounts ``/sys``, and containers find no cgroups.
"""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn, assert_never

from lab.devices import agent_environment
from lab.devices import host as host_devices
from lab.devices.host_device import HostDevice
from lab.devices.vm import access, machine
from lab.devices.vm.device import VmDevice
from lab.errors import NothingThere
from lab.host import mounts, processes
from lab.host.lab_host import LabHost
from lab.lifecycle.assembly import LabDevice

_OF_THE_TERMINAL = ("TERM", "COLORTERM", "LC_ALL", "LC_CTYPE")


def enter(host: LabHost, device: LabDevice, command: Sequence[str]) -> NoReturn:
    """
    Become *command*, or a shell, in *device*: as itself, or as root of a machine.

    :raises NothingThere: the device isn't up, or has no such program.
    """
    match device:
        case HostDevice():
            _enter_namespaces(host, device, command)
        case VmDevice():
            wanted = ("sudo", "-n", "--", *command) if command else ("sudo", "-n", "-i")
            _become(access.ssh(host, _up(host, device), wanted, terminal=sys.stdin.isatty()))
        case _:
            assert_never(device)


def log_in(host: LabHost, device: LabDevice, command: Sequence[str]) -> NoReturn:
    """
    Become an SSH session on a machine, as its administrator.

    :raises NothingThere: the machine is off, or the device is no machine.
    """
    wanted = _machine(host, device, f"lab.exec {device.id}")
    _become(access.ssh(host, wanted, command, terminal=bool(command) and sys.stdin.isatty()))


def attach(host: LabHost, device: LabDevice) -> NoReturn:
    """
    Become the serial console of a machine.

    :raises NothingThere: the machine is off, or the device is no machine.
    """
    _become(access.console(host, _machine(host, device, f"lab.logs --part agent-{device.id}")))


def _machine(host: LabHost, device: LabDevice, instead: str) -> VmDevice:
    if isinstance(device, VmDevice):
        return _up(host, device)
    message = f"{device.id} is no machine, but a namespace of this host"
    raise NothingThere(message, element=device.id, hint=f"invoke {instead}")


def _up(host: LabHost, device: VmDevice) -> VmDevice:
    if why := machine.off(host, device.id):
        hint = f"invoke lab.up --name {host.name}"
        raise NothingThere(f"{device.id} is not up: {why}", element=device.id, hint=hint)
    return device


def _become(argv: Sequence[str]) -> NoReturn:
    os.execvp(argv[0], list(argv))  # noqa: S606 - that is what it is for


def _enter_namespaces(host: LabHost, device: HostDevice, command: Sequence[str]) -> NoReturn:
    inside = host_devices.inside(host, device)
    if not all(map(mounts.is_namespace, inside.files)):
        hint = f"invoke lab.up --name {host.name}"
        raise NothingThere(f"{device.id} is not up", element=device.id, hint=hint)
    env = {**processes.minimal_environment(), **variables(host, device, os.environ)}
    wanted = tuple(command) or shell(terminal=sys.stdin.isatty())
    if shutil.which(wanted[0], path=env["PATH"]) is None:
        raise NothingThere(f"{device.id} has no program {wanted[0]!r}", element=wanted[0])
    argv = (*inside.enter(), "env", "-C", env["HOME"], "--", *wanted)
    os.execvpe(argv[0], argv, env)  # noqa: S606 - that is what it is for


def shell(*, terminal: bool) -> tuple[str, ...]:
    """
    Return the shell: one that reads nobody's settings, so that the prompt is ours.

    At no *terminal* it reads a script, and neither prompts nor complains of having none.
    """
    interactive = ("-i",) if terminal else ()
    return (
        ("bash", "--noprofile", "--norc", *interactive)
        if shutil.which("bash")
        else ("sh", *interactive)
    )


def variables(host: LabHost, device: HostDevice, terminal: Mapping[str, str]) -> Mapping[str, str]:
    """Return what a command in *device* finds set: its podman, its agent, and a prompt."""
    root = host_devices.root_of(host, device.id)
    return {
        **{name: terminal[name] for name in _OF_THE_TERMINAL if name in terminal},
        **host_devices.environment_of(host, device),
        "FLEET_AGENT_CONFIG": str(root / "agent.toml"),
        "PATH": f"{agent_environment.environment() / 'bin'}:{terminal.get('PATH', os.defpath)}",
        "PS1": f"{device.id}:\\w\\$ ",
    }
