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
  follows another error of the same container is answered with that first one.
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
from typing import Any, TypeVar

import structlog

from fleet import errors, threads
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import answers, error_messages, port_holders, translation
from fleet.agent.runtimes.podman.api.checks import Checks
from fleet.agent.runtimes.podman.api.client import SocketClient
from fleet.agent.runtimes.podman.api.images import PodmanImages
from fleet.agent.runtimes.podman.api.specification import left_out, specification
from fleet.agent.runtimes.port import Container, Fetched, Image, Result
from fleet.agent.settings import Registry
from fleet.agent.system import listeners
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision import containment

T = TypeVar("T")

log = structlog.get_logger(__name__)

_VERSION_HEADER = "Libpod-API-Version"
_RUNNING = "running"
_UNCLEAN = "stopped"
_CLEANUP_LOOK_SECONDS = 0.05  # on a Pi, cleaning up takes several of these
_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Options:
    """
    How to reach podman, what containers get, and who we are at registries.

    *ulimits* maps ``nofile`` and the like, *registries* prefixes of images. A rootless podman has
    *cleanup_within* seconds to clean up after a container that is to start again; under root, a
    start needs no such thing.
    """

    socket: str = "unix:///run/podman/podman.sock"
    ulimits: Mapping[str, int] = field(default_factory=dict)
    timeout: float = 30.0
    stop_timeout: int = 10
    cleanup_within: float = 0.0
    workers: int = 8
    pulls: int = 16
    registries: Mapping[str, Registry] = field(default_factory=dict)


class PodmanRuntime:
    """Containers of one device, by podman."""

    name = "podman"

    def __init__(self, device_id: DeviceId, options: Options) -> None:
        self._device_id = device_id
        self._ids = frozenset([device_id])
        self._options = options
        self._client = SocketClient(options.socket, options.timeout)
        self._workers = threads.Crew(options.workers, "podman")
        self._failed_starts: dict[str, str] = {}
        self._followers: set[SocketClient] = set()
        self._images = PodmanImages(
            self._request,
            lambda: SocketClient(options.socket),
            self._call,
            pulls=options.pulls,
            registries=options.registries,
        )
        self._checks = Checks(self._request, lambda: SocketClient(options.socket), self._call)

    def vouch(self, former: frozenset[DeviceId]) -> None:
        self._ids = former | {self._device_id}

    async def version(self) -> str:
        return await self._call(self._version)

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        return await self._call(lambda: self._observe(deployment))

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        return await self._images.fetch(image, policy)

    async def images(self) -> tuple[Image, ...]:
        return await self._images.list()

    async def image_id(self, reference: str) -> str:
        return await self._images.find_id(reference)

    async def remove_image(self, image: Image) -> None:
        await self._images.remove(image)

    async def create(self, workload: Workload) -> None:
        await self._call(lambda: self._create(workload))

    async def start(self, container: str) -> None:
        is_cleaned_up = await self._await_cleanup(container)
        await self._call(lambda: self._start(container))
        if not is_cleaned_up and await self._call(lambda: self._state(container)) == _RUNNING:
            log.warning("podman did not clean up after a container", container=container)
            await self.restart(container)

    async def restart(self, container: str) -> None:
        await self._call(lambda: self._restart(container))

    async def probe(self, container: str, within: float) -> Result:
        return await self._checks.run(container, within)

    async def remove(self, container: str) -> None:
        await self._call(lambda: self._remove(container))

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

    async def _call(self, function: Callable[[], T]) -> T:
        return await self._workers.call(function)

    # What follows blocks, and runs in a thread.

    def _version(self) -> str:
        response = self._request("GET", "/_ping")
        if response.status_code >= answers.CLIENT_ERROR:
            raise errors.RuntimeUnavailable(
                f"podman: {answers.complaint(response)}", element="podman"
            )
        return str(response.headers.get(_VERSION_HEADER, "unknown"))

    def _observe(self, deployment: DeploymentName | None) -> tuple[Container, ...]:
        listing = self._list(
            {} if deployment is None else {containers.LABEL_DEPLOYMENT: deployment}
        )
        digest = self._images.digest
        found = (translation.container(row, digest(translation.image_id(row))) for row in listing)
        return tuple(sorted((c for c in found if c is not None), key=lambda c: c.name))

    def _list(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """List the containers of ours that have *labels* besides, in whatever state."""
        wanted = [self._own_label(), *(f"{name}={value}" for name, value in labels.items())]
        params = {"all": "true", "filters": json.dumps({"label": wanted})}
        rows = answers.rows(self._request("GET", "/containers/json", params=params))
        return [r for r in rows if translation.labels(r).get(containers.LABEL_DEVICE) in self._ids]

    def _own_label(self) -> str:
        """Spell the filter for containers of ours; podman can't say "one of these"."""
        if len(self._ids) > 1:
            return containers.LABEL_DEVICE
        return f"{containers.LABEL_DEVICE}={self._device_id}"

    def _create(self, workload: Workload) -> None:
        body = json.dumps(
            specification(
                workload,
                self._device_id,
                ulimits=self._options.ulimits,
                stop_timeout=self._options.stop_timeout,
            )
        )
        response = self._request("POST", "/containers/create", data=body, headers=_JSON)
        if response.status_code >= answers.CLIENT_ERROR:
            error = error_messages.of_create(
                answers.complaint(response), element=workload.service.name
            )
            if isinstance(error, errors.NameTaken):
                self._ours(workload.name)  # raises one that says whose it is
            raise error
        self._failed_starts.pop(workload.name, None)
        self._insist(workload.service, str(answers.content(response)["Id"]))

    def _insist(self, service: scores.Service, container_id: str) -> None:
        """Remove a new container again that lacks what podman left out without a word."""
        if not (service.capabilities.add or service.resources != scores.Resources()):
            return
        details = answers.content(self._request("GET", f"/containers/{container_id}/json"))
        error = left_out(service, details)
        if error is not None:
            self._request("DELETE", f"/containers/{container_id}", params={"v": "true"})
            raise error

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

    def _start(self, container: str) -> None:
        response = self._request("POST", f"/containers/{container}/start")
        if response.status_code < answers.CLIENT_ERROR:
            self._failed_starts.pop(container, None)
            return
        error = error_messages.of_start(answers.complaint(response), element=container)
        if isinstance(error, errors.PortInUse) and container in self._failed_starts:
            raise errors.ContainerFailed(self._failed_starts[container], element=container)
        if not isinstance(error, errors.PortInUse):
            self._failed_starts[container] = str(error)
            raise error
        raise self._port_taken(container) or error

    def _port_taken(self, container: str) -> errors.FleetError | None:
        """Find out who has a port of *container*; None where that can't be seen."""
        listing = self._request("GET", "/containers/json", params={"all": "true"})
        if listing.status_code >= answers.CLIENT_ERROR:
            return None
        rows = answers.rows(listing)
        for port in port_holders.wanted(rows, container):
            holder = port_holders.holder(rows, container, port, self._device_id)
            if not holder and (listener := listeners.find(port.host, str(port.protocol))):
                lineage = listeners.lineage(listener.pid)
                holder = port_holders.of_process(rows, lineage, self._device_id) or listener.words
            if holder:
                told = f"{port.host}/{port.protocol}"
                return error_messages.taken(told, holder, element=container)
        return None

    def _restart(self, container: str) -> None:
        details = self._ours(container)
        if details is None:
            raise errors.ContainerFailed(f"{container} is gone", element=container)
        path = f"/containers/{details['Id']}/restart"
        timeout = self._grace(details) + self._options.timeout
        response = self._request("POST", path, timeout=timeout)
        if response.status_code >= answers.CLIENT_ERROR:
            error = error_messages.of_start(answers.complaint(response), element=container)
            taken = self._port_taken(container) if isinstance(error, errors.PortInUse) else None
            raise taken or error

    def _ours(self, container: str) -> Any:
        """
        Look a container of ours up; None where there is none.

        What is then done is done by its id: another may take the name meanwhile.
        """
        found = self._request("GET", f"/containers/{container}/json")
        if found.status_code == answers.NOT_FOUND:
            return None
        if found.status_code >= answers.SERVER_ERROR:
            return self._damaged(container, answers.complaint(found))
        details = answers.content(found)
        labels = details["Config"].get("Labels") or {}  # null where there is none
        holder = labels.get(containers.LABEL_DEVICE)
        if holder not in self._ids:
            raise error_messages.name_taken(container, str(holder or ""), self._device_id)
        return details

    def _damaged(self, container: str, complaint: str) -> Any:
        """
        Look a container of ours up that podman can't inspect.

        A power cut amid a removal leaves one without its storage: it can't be inspected or
        started any more, yet podman lists it, and removes it by force.
        """
        for listed in self._list({}):
            if container in (listed.get("Names") or ()):
                log.warning("damaged container", container=container, error=complaint)
                return {"Id": listed["Id"], "Config": {}}
        raise errors.RuntimeUnavailable(f"podman: {complaint}", element="podman")

    def _remove(self, container: str) -> None:
        details = self._ours(container)
        if details is None:
            return
        self._stop(str(details["Id"]), self._grace(details))
        # With it go the nameless volumes that its image asks for; named ones stay.
        params = {"force": "true", "timeout": "0", "volumes": "true"}
        gone = self._request("DELETE", f"/containers/{details['Id']}", params=params)
        if answers.is_refusal(gone):
            raise errors.ContainerFailed(answers.complaint(gone), element=container)

    def _grace(self, details: Any) -> int:
        """Tell the container's own time to end, which podman gives it."""
        told = details["Config"].get("StopTimeout")
        return told if isinstance(told, int) else self._options.stop_timeout

    def _stop(self, container_id: str, grace: int) -> None:
        """Ask it to end. One that can't be stopped (not running, paused) is removed by force."""
        path = f"/containers/{container_id}/stop"
        self._request("POST", path, timeout=grace + self._options.timeout)

    def _follow(
        self,
        client: SocketClient,
        say: Callable[[DeploymentName | errors.FleetError | None], None],
    ) -> None:
        """Read events until *client* is aborted, or the stream breaks."""
        # Of events podman tells those of any of these labels, and none of a label without a value.
        labels = [f"{containers.LABEL_DEVICE}={device}" for device in sorted(self._ids)]
        filters = {"type": ["container"], "label": labels}
        params = {"stream": "true", "filters": json.dumps(filters)}
        try:
            timeout = self._options.timeout
            response = self._request(
                "GET", "/events", params=params, stream=True, timeout=timeout, client=client
            )
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
