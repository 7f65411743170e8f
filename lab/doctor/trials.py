"""
What a device of the lab needs of its host, tried on a throw-away lab, one capability after another.

The parts are made by the lab's own scores, so what works here works in `lab.up`. A trial that fails
keeps those that build on it from being tried; whatever was made is undone. podman is asked through
podman-py: a client that isn't ours, so that what it can't do isn't our agent's fault.
"""

import errno
import shutil
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet.scores.score import Score
from lab.devices import host as host_devices
from lab.devices.host_device import HostDevice
from lab.host import labs
from lab.host.cgroups import CgroupsScore
from lab.host.lab_host import LabHost
from lab.host.network import CableScore, FirewallScore, NamespacesScore
from lab.images import demo_images, oci, shared_store
from lab.images.shared_store import BaseStoreScore
from lab.lifecycle import take_down
from lab.system import locks, podman_configuration, probes, waiting

if TYPE_CHECKING:
    from podman import PodmanClient

_NAME = "doctor"
_LIMITS = {"mem_limit": "32m", "cpu_period": 100_000, "cpu_quota": 50_000, "pids_limit": 64}
_PATIENCE = 60  # seconds, for any answer of podman
_CLOSED_PORT = 9  # "discard": nobody listens there in a new namespace


@dataclass(frozen=True, slots=True)
class Trial:
    """Try one capability; *attempt* returns what is worth knowing of it."""

    subject: str
    attempt: Callable[[LabHost, HostDevice], str]


@dataclass(frozen=True, slots=True)
class Result:
    """How a trial ended. *error* is None where the capability is there."""

    subject: str
    note: str = ""
    error: BaseException | None = None


def subjects() -> tuple[str, ...]:
    """Name the capabilities, in the order in which they are tried."""
    return tuple(trial.subject for trial in _TRIALS)


def run() -> Iterator[Result]:
    """Try one capability after another, until one isn't there."""
    with labs.held(_NAME, "lab.doctor", within=120, saw=lambda _: None):
        _undo()  # a doctor before us may have been killed
        host = labs.ensure(_NAME, "smoke").host
        device = HostDevice("trial", 1, {}, "", Path(), "localhost:1", shared_store.store())
        try:
            for trial in _TRIALS:
                result = _try(trial, host, device)
                yield result
                if result.error:
                    return
        finally:
            _undo()
            shutil.rmtree(labs.state_of(_NAME))
            locks.discard(labs.state_of(_NAME))


def _try(trial: Trial, host: LabHost, device: HostDevice) -> Result:
    try:
        return Result(trial.subject, note=trial.attempt(host, device))
    except Exception as exc:
        return Result(trial.subject, error=exc)


def _undo() -> None:
    for left in take_down.undo_all(labs.trace(_NAME), lambda _: None):
        raise left.error


def _network(host: LabHost, device: HostDevice) -> str:
    ground = host_devices.ground(host, [device.id])
    cable = (NamespacesScore(device.id), CableScore(device.id, device.index))
    _bring_about(host, FirewallScore(), *ground, *cable)
    address = str(host.addresses.device(device.index))
    waiting.wait_for(f"{address} answers", _refuses(address), within=15)
    return f"a device answers at {address}"


def _images(host: LabHost, _: HostDevice) -> str:
    _bring_about(host, BaseStoreScore())
    return "a store that devices share"


def _podman(host: LabHost, device: HostDevice) -> str:
    _bring_about(host, CgroupsScore(), *host_devices.computer(host, device))
    with _client(host, device) as client:
        return str(client.version()["Version"])


def _container(host: LabHost, device: HostDevice) -> str:
    port = demo_images.PORT
    serve = ("httpd", "-f", "-p", str(port), "-h", "/bin")
    _start(host, device, *serve, ports={f"{port}/tcp": port})
    answers = probes.tcp(str(host.addresses.device(device.index)), port)
    waiting.wait_for("the container answers", answers, within=15)
    engine = podman_configuration.engine_here()
    return f"{engine.runtime}{', ulimits lowered' if engine.limits else ''}; its page answers"


def _limits(host: LabHost, device: HostDevice) -> str:
    _start(host, device, "true", **_LIMITS)
    return "memory, cpus and pids"


def _rootless(host: LabHost, device: HostDevice) -> str:
    user = host.addresses.user(device.index + 1)
    own = replace(device, id="rootless", index=device.index + 1, base=None, user=user)
    _bring_about(host, *host_devices.ground(host, [own.id]), *host_devices.computer(host, own))
    archive = oci.archive({shared_store.NAME: demo_images.base()})
    with _client(host, own) as client:  # root alone can lock the store that devices share
        tuple(client.images.load(archive))
    return f"user {user}; {_container(host, own)}"


_TRIALS = (
    Trial("network", _network),
    Trial("images", _images),
    Trial("podman", _podman),
    Trial("container", _container),
    Trial("limits", _limits),
    Trial("rootless", _rootless),
)


def _bring_about(host: LabHost, *scores: Score[LabHost]) -> None:
    for score in scores:
        score.interpret(host).expect()


def _refuses(address: str) -> waiting.Probe:
    """Ready when *address* is reached: nothing listens there, and it says so."""

    def probe() -> str:
        with socket.socket() as sock:
            sock.settimeout(2)
            code = sock.connect_ex((address, _CLOSED_PORT))
        return "" if code == errno.ECONNREFUSED else errno.errorcode.get(code, str(code))

    return probe


def _client(host: LabHost, device: HostDevice) -> "PodmanClient":
    # Late: it brings an HTTP library, and the lab's other commands do without.
    from podman import PodmanClient  # noqa: PLC0415

    socket_path = host_devices.socket_of(host, device.id)
    return PodmanClient(base_url=f"unix://{socket_path}", timeout=_PATIENCE)


def _start(host: LabHost, device: HostDevice, *command: str, **options: Any) -> None:
    """Run a container of the only image there."""
    with _client(host, device) as client:
        client.containers.run(client.images.list()[0].id, list(command), detach=True, **options)
