"""Where in a container the program of its health check is looked for. Pure."""

import posixpath
from collections.abc import Mapping
from typing import Any

# What podman gives a container whose image says nothing.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DIRECT = "CMD"


def of_check(config: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Name the program, and list the paths at which it may be; none where that isn't known."""
    kind, *command = (config.get("Healthcheck") or {}).get("Test") or [""]
    program = str(command[0]) if command and kind == _DIRECT else ""
    if not program:
        return "", ()
    if "/" in program:
        return program, (posixpath.join(str(config.get("WorkingDir") or "/"), program),)
    variables = dict(str(each).partition("=")[::2] for each in config.get("Env") or ())
    path = variables.get("PATH", _PATH)
    return program, tuple(posixpath.join(place, program) for place in path.split(":") if place)
