"""
The lab's demo images. All stand on one layer, busybox, which devices share.

| Image            | Tags   | Does                                                        |
|------------------|--------|-------------------------------------------------------------|
| `demo/hello-web` | v1, v2 | serves a page on 8080: version, host name and ``$GREETING`` |
| `demo/sleeper`   | v1     | sleeps, and like the page stops at once                     |
"""

import functools
import shutil
from collections.abc import Mapping
from pathlib import Path

from lab.errors import PreflightFailed
from lab.images.oci import File, Image, Layer

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
    return Image((_busybox(),), ("sh",), {"PATH": "/bin"})


def demos() -> Mapping[str, Image]:
    """Return the demo images by ``repository:tag``."""
    return {
        "demo/hello-web:v1": _hello_web("v1"),
        "demo/hello-web:v2": _hello_web("v2"),
        "demo/sleeper:v1": Image(
            (_busybox(),), ("sleep", "infinity"), {"PATH": "/bin"}, stop_signal=_STOP
        ),
    }


def _hello_web(version: str) -> Image:
    page = File(_PAGE.format(version=version).encode(), 0o755)
    site = Layer.of({"www/cgi-bin/index.cgi": page})
    serve = ("httpd", "-f", "-p", str(PORT), "-h", "/www")
    env = {"PATH": "/bin", "VERSION": version}
    return Image((_busybox(), site), serve, env, (PORT,), stop_signal=_STOP)


@functools.cache
def _busybox() -> Layer:
    found = shutil.which("busybox")
    if found is None:
        raise PreflightFailed(
            "busybox is not installed", element="busybox", hint="apt-get install busybox-static"
        )
    links = {f"bin/{name}": File(link="busybox") for name in _APPLETS}
    program = {"bin/busybox": File(Path(found).read_bytes(), 0o755)}
    users = {"etc/passwd": File(b"root:x:0:0:root:/:/bin/sh\n"), "tmp/.keep": File()}
    return Layer.of({**program, **links, **users})
