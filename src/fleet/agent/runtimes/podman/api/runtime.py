"""
`Runtime` over podman's API socket.

It speaks the API itself, since podman-py gets wrong what an agent lives by, and
weighs more than the rest of the agent. The traps, on 4.3.1 unless said otherwise:

* Filters by label work as a *list* of ``key=value``.
* A missing image at create, a taken name and a taken port are all 500; the
  text tells them apart (`error_messages`).
* Naming one ulimit turns podman's own defaults for the others back on, above
  what a device without CAP_SYS_RESOURCE may set, so all are given or none.
* After a start that failed, the service holds the container's published ports
  until its garbage collector runs (up to two minutes): a `PortInUse` that
  follows another error of the same service is answered with that first one (`starts`).
* A container that has ended is "stopped" until a process of its own has cleaned
  up after it, and then "exited". Started in between, it keeps its old network,
  whose port forwarder, where podman is rootless, ends with the old conmon: it
  runs, and nobody reaches it. A restart while it runs puts that right.
* ``/version`` runs conmon and the OCI runtime, for 0.7 s; ``/_ping`` takes 4 ms
  and tells the version in a header.
"""

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import structlog

from fleet import errors, threads
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import (
    answers,
    translation,
)
from fleet.agent.runtimes.podman.api.checks import Checks
from fleet.agent.runtimes.podman.api.client import SocketClient
from fleet.agent.runtimes.podman.api.creation import Creation, Usual
from fleet.agent.runtimes.podman.api.deaths import Deaths
from fleet.agent.runtimes.podman.api.devices import Devices
from fleet.agent.runtimes.podman.api.host_path_checks import HostPathChecks
from fleet.agent.runtimes.podman.api.images import PodmanImages
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.runtimes.podman.api.networks import Networks
from fleet.agent.runtimes.podman.api.removal import Removal
from fleet.agent.runtimes.podman.api.starts import Starts
from fleet.agent.runtimes.podman.api.taken_ports import TakenPorts
from fleet.agent.runtimes.podman.device_nodes import DeviceNodes
from fleet.agent.runtimes.podman.file_store import FileStore
from fleet.agent.runtimes.podman.host_paths import HostPaths
from fleet.agent.runtimes.port import Container, Fetched, Image, Result, Transfer
from fleet.agent.settings import Registry
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision import containment

T = TypeVar("T")

log = structlog.get_logger(__name__)

_VERSION_HEADER = "Libpod-API-Version"
_RUNNING = "running"
_UNCLEAN = "stopped"
_CLEANUP_LOOK_SECONDS = 0.05  # on a Pi, cleaning up takes several of these


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to reach podman, what containers get, and who we are at registries.

    *ulimits* maps ``nofile`` and the like, *registries* prefixes of images. A rootless podman has
    *cleanup_within* seconds to clean up after a container that is to start again; under root, a
    start needs no such thing. Requests run in at most *workers* threads; what may take as long as
    its service likes, *stops* and transfers of images, has its own, and nothing else waits for it.
    *host_paths* says what services may not mount; *log_max_size* is how many bytes of a
    container's log are kept in a file, 0 as many as podman's own settings say. *device_nodes* looks
    up what services ask for, and *files* is where their files are kept; without, they have none.
    """

    socket: str = "unix:///run/podman/podman.sock"
    ulimits: Mapping[str, int] = field(default_factory=dict)
    timeout: float = 30.0
    stop_timeout: int = 10
    cleanup_within: float = 0.0
    workers: int = 8
    stops: int = 64
    pulls: int = 16
    registries: Mapping[str, Registry] = field(default_factory=dict)
    host_paths: HostPaths = field(default_factory=HostPaths)
    log_max_size: int = 0
    device_nodes: DeviceNodes = field(default_factory=DeviceNodes)
    files: Path | None = None


class PodmanRuntime:
    """Containers of one device, by podman."""

    name = "podman"

    def __init__(self, device_id: DeviceId, options: Options) -> None:
        self._device_id = device_id
        self._options = options
        self._client = SocketClient(options.socket, options.timeout)
        self._workers = threads.Crew(options.workers, "podman")
        self._stops = threads.Crew(options.stops, "podman-stop")
        self._host_paths = HostPathChecks(options.host_paths)
        self._devices = Devices(options.device_nodes, self._request)
        self._files = FileStore(options.files)
        self._followers: set[SocketClient] = set()
        self._images = PodmanImages(
            self._request,
            lambda: SocketClient(options.socket),
            self._call,
            pulls=options.pulls,
            registries=options.registries,
        )
        self._lookup = Lookup(device_id, self._request)
        self._networks = Networks(device_id, self._lookup, self._request)
        self._deaths = Deaths(self._request)
        self._removal = Removal(
            self._lookup,
            self._request,
            stop_timeout=options.stop_timeout,
            timeout=options.timeout,
            files=self._files,
        )
        self._starts = Starts(
            self._lookup,
            self._networks,
            self._removal,
            TakenPorts(self._lookup, self._request),
            self._request,
            timeout=options.timeout,
        )
        self._creation = Creation(
            Usual(device_id, options.ulimits, options.stop_timeout, options.log_max_size),
            lookup=self._lookup,
            networks=self._networks,
            devices=self._devices,
            files=self._files,
            removal=self._removal,
            request=self._request,
        )
        self._checks = Checks(self._request, lambda: SocketClient(options.socket), self._call)

    def vouch(self, former: frozenset[DeviceId]) -> None:
        self._lookup.vouch(former)

    async def version(self) -> str:
        return await self._call(self._version)

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        return await self._call(lambda: self._observe(deployment))

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        return await self._images.fetch(image, policy)

    def transfer(self, image: str) -> Transfer | None:
        return self._images.transfer(image)

    async def images(self) -> tuple[Image, ...]:
        return await self._images.list()

    async def image_id(self, reference: str) -> str:
        return await self._images.find_id(reference)

    async def remove_image(self, image: Image) -> None:
        await self._images.remove(image)

    async def check(self, workload: Workload) -> None:
        service = workload.service
        await self._host_paths.check(service)
        if service.devices:
            await self._call(lambda: self._devices.check(workload))
        if service.network_mode is scores.NetworkMode.BRIDGE:
            await self._call(lambda: self._creation.check_network(workload))

    async def create(self, workload: Workload) -> None:
        await self._host_paths.check(workload.service)  # also what was checked a while ago
        await self._call(lambda: self._creation.create(workload))
        self._starts.made(workload)
        self._host_paths.made(workload.name, workload.service)
        self._checks.renew(workload.name)

    async def start(self, container: str) -> None:
        await self._check_again(container)
        is_cleaned_up = await self._await_cleanup(container)
        await self._call(lambda: self._starts.start(container))
        if not is_cleaned_up and await self._call(lambda: self._state(container)) == _RUNNING:
            log.warning("podman did not clean up after a container", container=container)
            await self.restart(container)

    async def restart(self, container: str) -> None:
        await self._check_again(container)
        await self._stops.call(lambda: self._starts.restart(container))
        self._checks.renew(container)

    async def probe(self, container: str, within: float) -> Result:
        return await self._checks.run(container, within)

    async def remove(self, container: str) -> None:
        await self._stops.call(lambda: self._removal.remove(container))
        self._host_paths.forget(container)
        self._devices.forget(container)

    async def release(self, deployment: DeploymentName) -> None:
        await self._call(lambda: self._networks.release(deployment))

    async def shared(self) -> frozenset[DeploymentName]:
        return await self._call(self._networks.deployments)

    async def sweep(self) -> None:
        await self._call(self._removal.sweep)

    async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
        queue: asyncio.Queue[DeploymentName | errors.FleetError | None] = asyncio.Queue()
        client = SocketClient(self._options.socket)
        self._followers.add(client)
        loop = asyncio.get_running_loop()

        def say(item: DeploymentName | errors.FleetError | None) -> None:
            threads.post(loop, lambda: queue.put_nowait(item))

        threading.Thread(
            target=self._follow, args=(client, say), name="podman-events", daemon=True
        ).start()
        try:
            while True:
                item = await queue.get()
                if isinstance(item, errors.FleetError):
                    raise item
                yield item
        finally:
            self._followers.discard(client)
            client.abort()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.abort()

    async def _check_again(self, container: str) -> None:
        """See whether what a container was made with may still be had, before it starts."""
        await self._host_paths.check_again(container)
        if self._devices.has_any(container):
            await self._call(lambda: self._devices.check_again(container))

    async def _call(self, function: Callable[[], T]) -> T:
        return await self._workers.call(function)

    # What follows blocks, and runs in a thread.

    def _version(self) -> str:
        response = self._request("GET", "/_ping")
        answers.check(response)
        return str(response.headers.get(_VERSION_HEADER, "unknown"))

    def _observe(self, deployment: DeploymentName | None) -> tuple[Container, ...]:
        listing = self._lookup.listing(
            {} if deployment is None else {containers.LABEL_DEPLOYMENT: deployment}
        )
        found = (self._container(row) for row in listing)
        return tuple(sorted((c for c in found if c is not None), key=lambda c: c.name))

    def _container(self, row: Mapping[str, Any]) -> Container | None:
        image = self._images.digest(translation.image_id(row))
        dead = self._deaths.is_out_of_memory(row)
        found = translation.container(row, image, out_of_memory=dead)
        return None if found is None else self._devices.seen(found, translation.labels(row))

    async def _await_cleanup(self, container: str) -> bool:
        """Wait until podman has cleaned up after *container*; False when that never happens."""
        if not self._options.cleanup_within:
            return True
        deadline = time.monotonic() + self._options.cleanup_within
        while await self._call(lambda: self._state(container)) == _UNCLEAN:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_CLEANUP_LOOK_SECONDS)
        return True

    def _state(self, container: str) -> str:
        """Read podman's own word for the state; empty where it has none to say."""
        found = self._request("GET", f"/containers/{container}/json")
        if found.status_code >= answers.CLIENT_ERROR:
            return ""
        return str(answers.content(found)["State"]["Status"])

    def _follow(
        self,
        client: SocketClient,
        say: Callable[[DeploymentName | errors.FleetError | None], None],
    ) -> None:
        """Read events until *client* is aborted, or the stream breaks."""
        # Of events podman tells those of any of these labels, and none of a label without a value.
        labels = [f"{containers.LABEL_DEVICE}={device}" for device in sorted(self._lookup.ids)]
        filters = {"type": ["container"], "label": labels}
        params = {"stream": "true", "filters": json.dumps(filters)}
        try:
            timeout = self._options.timeout
            response = self._request(
                "GET", "/events", params=params, stream=True, timeout=timeout, client=client
            )
            answers.check(response)
            # The stream stands: whatever happened before is read by looking.
            client.be_patient()
            say(None)
            for line in client.lines(response):
                if translation.tells(line):
                    say(translation.deployment_of_event(line))
            say(errors.RuntimeUnavailable("podman ended the stream of events", element="podman"))
        except errors.FleetError as exc:
            say(exc)
        except Exception as exc:  # noqa: BLE001 - who reads the events is told, whatever it is
            error = errors.InternalError(containment.sentence(exc), element="podman")
            error.__cause__ = exc
            say(error)

    def _request(
        self, method: str, path: str, *, client: SocketClient | None = None, **arguments: Any
    ) -> Any:
        try:
            return (client or self._client).send_request(method, path, **arguments)
        except OSError as exc:
            # Who doesn't answer tells no events either, though its stream may stand for ever.
            for follower in tuple(self._followers):
                follower.abort()
            raise errors.RuntimeUnavailable(
                f"podman does not answer at {self._options.socket}", element="podman"
            ) from exc
