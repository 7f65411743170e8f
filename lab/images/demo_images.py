"""
The lab's demo images. All stand on one layer, busybox, which devices share.

| Image            | Tags   | Does                                                        |
|------------------|--------|-------------------------------------------------------------|
| `demo/hello-web` | v1, v2 | serves a page on 8080: version, host name and ``$GREETING`` |
| `demo/sleeper`   | v1     | sleeps, and like the page stops at once                     |
"""

import functools
import platform
from collections.abc import Mapping

from fleet.scores.linux.architecture import Arch
from lab.images import busybox
from lab.images.oci import File, Image, Index, Layer

PORT = 8080
_STOP = "SIGKILL"  # busybox handles no SIGTERM: stopping would take the ten seconds of patience
_APPLETS = (
    "cat", "date", "echo", "env", "false", "hostname", "httpd", "id", "kill", "ls", "mkdir", "nc",
    "ps", "rm", "sh", "sleep", "test", "touch", "true", "wget",
)  # fmt: skip
_PAGE = """\
#!/bin/sh
echo "Content-Type: text/plain"
echo
echo "${{GREETING:-hello}} from hello-web {version} on $(hostname)"
"""


@functools.cache
def base() -> Image:
    """Return the image that the others stand on."""
    machine = platform.machine()
    return Image((_busybox(machine),), ("sh",), {"PATH": "/bin"}, machine=machine)


def published(others: tuple[Arch, ...] = ()) -> Mapping[str, Image | Index]:
    """Return the demo images for this host, and for machines of *others* too."""
    machines = (platform.machine(), *sorted({*others} - {platform.machine()}))
    if len(machines) == 1:
        return demos(machines[0])
    found = [demos(machine) for machine in machines]
    return {name: Index(tuple(each[name] for each in found)) for name in found[0]}


def demos(machine: str = platform.machine()) -> Mapping[str, Image]:
    """Return the demo images by ``repository:tag``, for what the kernel calls *machine*."""
    return {
        "demo/hello-web:v1": _hello_web("v1", machine),
        "demo/hello-web:v2": _hello_web("v2", machine),
        "demo/sleeper:v1": Image(
            (_busybox(machine),), ("sleep", "infinity"), {"PATH": "/bin"},
            stop_signal=_STOP, machine=machine,
        ),
    }  # fmt: skip


def _hello_web(version: str, machine: str) -> Image:
    page = File(_PAGE.format(version=version).encode(), 0o755)
    site = Layer.of({"www/cgi-bin/index.cgi": page})
    serve = ("httpd", "-f", "-p", str(PORT), "-h", "/www")
    env = {"PATH": "/bin", "VERSION": version}
    layers = (_busybox(machine), site)
    return Image(layers, serve, env, (PORT,), stop_signal=_STOP, machine=machine)


@functools.cache
def _busybox(machine: str) -> Layer:
    links = {f"bin/{name}": File(link="busybox") for name in _APPLETS}
    program = {"bin/busybox": File(busybox.program(machine).read_bytes(), 0o755)}
    users = {"etc/passwd": File(b"root:x:0:0:root:/:/bin/sh\n"), "tmp/.keep": File()}
    return Layer.of({**program, **links, **users})
