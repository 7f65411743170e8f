"""A device, of this host or a machine, seen through its podman, its network and its pages."""

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.using_lab import insides
from tests.using_lab.insides import Inside
from tests.using_lab.waiting import eventually

WITHIN = 60
DEPLOYMENT = "fleet.nationtech.io/deployment"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Container:
    """One incarnation of a container: made again or started again, it differs."""

    name: str
    id: str
    started_at: str


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the lab."""

    id: str
    address: str
    inside: Inside

    @classmethod
    def of(cls, status: dict[str, Any]) -> "Device":
        """Read a device of `lab.status`."""
        return cls(status["id"], status["address"], insides.of(status))

    def podman(self, *arguments: str) -> str:
        """Run a podman command against the device's API."""
        done = subprocess.run(
            self.inside.podman(*arguments),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"podman {arguments} on {self.id}: {done.stderr}"
        return done.stdout

    def inspect(self, name: str) -> dict[str, Any]:
        """Read all that podman knows of a container."""
        return dict(json.loads(self.podman("container", "inspect", name))[0])

    def containers(self, *deployments: str) -> dict[str, Container]:
        """Return the running containers of *deployments* (none named: of all) by name."""
        return {
            name: Container(name, each["Id"], str(each["StartedAt"]))
            for each in self._list()
            if each["State"] == "running" and _belongs(each, deployments)
            for name in each["Names"]
        }

    def remains(self, deployments: Iterable[str]) -> list[str]:
        """List the containers of *deployments* that exist, running or not."""
        return [
            name for each in self._list() if _belongs(each, deployments) for name in each["Names"]
        ]

    def await_containers(
        self, *names: str, of: str, within: float = WITHIN
    ) -> dict[str, Container]:
        """Wait until exactly the containers *names* of the deployment *of* run, and return them."""

        def look() -> dict[str, Container]:
            found = self.containers(of)
            assert set(found) == set(names)
            assert set(self.remains([of])) == set(names)
            return found

        look.__doc__ = f"on {self.id} run {sorted(names)} of {of}"
        return eventually(look, within=within)

    def page(self, port: int) -> str:
        """Fetch the page at the device's own address."""
        return fetch(f"http://{self.address}:{port}/")

    def await_page(self, port: int, text: str, *, within: float = WITHIN) -> None:
        """Wait until the page contains *text*."""

        def look() -> None:
            assert text in self.page(port)

        look.__doc__ = f"http://{self.address}:{port}/ says {text!r}"
        eventually(look, within=within)

    def reaches(self, host: str, port: int) -> bool:
        """Tell whether a connection from inside the device to *host*:*port* is accepted."""
        dial = f"import socket; socket.create_connection(({host!r}, {port}), 3).close()"
        done = subprocess.run(
            self.inside.python(dial),
            capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        return done.returncode == 0

    def _list(self) -> list[dict[str, Any]]:
        return list(json.loads(self.podman("ps", "--all", "--format", "json")))


def fetch(url: str) -> str:
    """Fetch a page of the lab: never through a proxy."""
    with _DIRECT.open(url, timeout=5) as answer:
        return str(answer.read().decode())


def is_reached_from_the_host(host: str, port: int) -> bool:
    """Tell whether a connection from here to *host*:*port* is accepted."""
    try:
        socket.create_connection((host, port), 3).close()
    except OSError:
        return False
    return True


def _belongs(listed: dict[str, Any], deployments: Iterable[str]) -> bool:
    owner = (listed.get("Labels") or {}).get(DEPLOYMENT)
    wanted = tuple(deployments)
    return owner is not None and (not wanted or owner in wanted)
