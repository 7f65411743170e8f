"""
Lends a machine this host's sources of packages, for as long as somebody installs any.

A lab has no way out, and its machines have none either. Packages come through an SSH connection:
`ssh` listens in the machine, on its loopback alone, and speaks SOCKS; names are looked up here, and
where this host's apt goes by a proxy, that one is reached there instead. Nothing stays: the files
are removed, and `ssh` ends with us, however we end.
"""

import contextlib
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from fleet.scores.linux import files
from fleet.scores.linux.files import AbsentScore, FileScore
from fleet.scores.linux.topology import LinuxHostTopology
from lab.devices.vm import access
from lab.devices.vm.device import VmDevice
from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.images.cloud import catalogue, sources
from lab.system import commands

_LISTENS = "127.0.0.1:1080"  # in the machine
_SETTINGS = "/etc/apt/apt.conf.d/90fleet-lab"
_SOURCES = "/etc/apt/sources.list.d/fleet-lab"
_SECRET = 0o600  # a source or a proxy may have a password in it
_KEYRING = re.compile(r"signed-by(?::\s*|=)(/[^]\s]+)", re.IGNORECASE)
_READY = b"ready\n"
_ENDS_WITHIN = 10.0


@contextlib.contextmanager
def packages(topology: LabHost, device: VmDevice, there: LinuxHostTopology) -> Iterator[None]:
    """
    Let *there*, which is *device*, install what this host could.

    :raises LabError: the way there can't be made, or this host has no sources itself.
    """
    remote, proxy = forwarding(own_proxy())
    here = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    text = sources.for_release(sources.here(), here, catalogue.find(device.image).release)
    lent = (
        FileScore(_SETTINGS, f'Acquire::http::Proxy "{proxy}";\n'.encode(), _SECRET),
        FileScore(f"{_SOURCES}{sources.suffix(text)}", text.encode(), _SECRET),
        *_keyrings(there, text),
    )
    try:
        with _forwarded(topology, device, remote):
            for score in lent:
                score.interpret(there).expect()
            yield
    finally:
        for score in lent:
            AbsentScore(score.path).interpret(there)


def own_proxy() -> str:
    """Return the proxy that apt goes by on this host; empty where it goes by none."""
    asked = commands.ask("apt-config", "shell", "PROXY", "Acquire::http::Proxy")
    told = dict(word.split("=", 1) for word in shlex.split(asked.out) if "=" in word)
    return told.get("PROXY", "") or os.environ.get("http_proxy", "")


def forwarding(proxy: str) -> tuple[str, str]:
    """Return what ``ssh -R`` is told for *proxy*, and what apt is told in the machine."""
    if not proxy:
        return _LISTENS, f"socks5h://{_LISTENS}"
    parts = urlsplit(proxy)
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    inside = parts._replace(netloc=f"{user}{at}{_LISTENS}").geturl()
    return f"{_LISTENS}:{host}:{parts.port or 80}", inside


def _keyrings(there: LinuxHostTopology, text: str) -> Iterator[FileScore]:
    """Name the keyrings that *text* trusts and the machine lacks."""
    wanted = sorted(set(_KEYRING.findall(text)))
    for path, found in files.look(there.machine, *wanted).items() if wanted else ():
        if found is None:
            yield FileScore(path, Path(path).read_bytes())


@contextlib.contextmanager
def _forwarded(topology: LabHost, device: VmDevice, remote: str) -> Iterator[None]:
    """Hold the way open; its other end is a `cat`, which ends when we don't hold its input."""
    program, *words = access.ssh(topology, device, ("cat",))
    command = (program, "-o", "ExitOnForwardFailure=yes", "-R", remote, *words)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as ssh:
        if ssh.stdin is None or ssh.stdout is None or ssh.stderr is None:
            raise AssertionError  # they are pipes
        try:
            with contextlib.suppress(BrokenPipeError):  # its error is read below
                ssh.stdin.write(_READY)
                ssh.stdin.flush()
            if ssh.stdout.readline() != _READY:
                said = ssh.stderr.read().decode(errors="replace").strip()
                what = f"{device.id}: packages have no way there: {said or 'ssh ended'}"
                raise LabError(what, element=device.id)
            yield
        finally:
            with contextlib.suppress(BrokenPipeError):
                ssh.stdin.close()
            try:
                ssh.wait(_ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                ssh.kill()
