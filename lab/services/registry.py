"""The lab's OCI registry: Debian's docker-registry as a process, images under the lab's state."""

import json
from dataclasses import dataclass
from pathlib import Path

from fleet.scores.score import Score
from lab.host import files
from lab.host.files import FileScore
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.system import probes
from lab.system.programs import program

PART = "registry"
_PROGRAM = "docker-registry"
_PORT = 5000


@dataclass(frozen=True, slots=True)
class Registry:
    """The registry of a lab, with its files in *directory*."""

    directory: Path
    host: str
    port: int

    @property
    def address(self) -> str:
        """Return where images are pushed and pulled: ``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.directory / "config.yml"


def registry(host: LabHost, address: str = "") -> Registry:
    """Describe the registry of the lab on *host*, at the bridge's address unless told."""
    address = address or host.address
    port = host.port(PART, prefer=_PORT, address=address)
    return Registry(host.state / "registry", address, port)


def scores(wanted: Registry) -> tuple[Score[LabHost], ...]:
    """List what makes a registry that answers."""
    content = render(wanted)
    return (
        FileScore(wanted.config, content),
        ProcessScore(
            part=PART,
            argv=(program(_PROGRAM), "serve", str(wanted.config)),
            ready=probes.http(f"http://{wanted.address}/v2/"),
            config_digest=files.digest(content),
        ),
    )


def render(wanted: Registry) -> str:
    """Render the configuration; JSON is YAML, and has one form only."""
    return (
        json.dumps(
            {
                "version": 0.1,
                "log": {"level": "warn", "accesslog": {"disabled": True}},
                "storage": {
                    "filesystem": {"rootdirectory": str(wanted.directory / "images")},
                    "delete": {"enabled": True},
                },
                "http": {"addr": wanted.address},
            },
            indent=2,
        )
        + "\n"
    )
