"""
A device in memory that refuses what podman would refuse, and a `Runtime` over it.

The laws of planning and the tests of the loop believe in this one reality.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, field, replace

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.planning import Action, Create, Remove, Restart, Start
from fleet.agent.runtimes.port import Container, Fetched, Image, Result, Status, Transfer
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName, DeviceId

WEB = DeploymentName("web")
IMAGE_SIZE = 100


def service(name: str, **more) -> scores.Service:
    """Make a service."""
    return scores.Service(name=name, image=more.pop("image", "app:1"), **more)


def workload(name: str, digest: str = "d1", *, deployment: str = WEB, **more) -> Workload:
    """Make a workload."""
    return Workload(DeploymentName(deployment), service(name, **more), digest)


def container(name: str, digest: str = "d1", status: Status = Status.RUNNING, **more) -> Container:
    """Make a container that was found."""
    deployment = DeploymentName(more.pop("deployment", WEB))
    identity = more.pop("id", f"found-{name}")
    return Container(deployment, name, digest, identity, status, **more)


class Refused(AssertionError):
    """The device would not do that."""


@dataclass
class World:
    """Containers by name, and the images that are there. *images* None: every one."""

    containers: dict[str, Container] = field(default_factory=dict)
    ports: dict[str, frozenset[int]] = field(default_factory=dict)
    images: set[str] | None = None
    foreign: set[str] = field(default_factory=set)
    networks: set[DeploymentName] = field(default_factory=set)
    outside: set[str] = field(default_factory=set)  # containers in no deployment's network
    now: int = 1000
    _made: int = 0

    @classmethod
    def of(cls, found: Iterable[Container]) -> "World":
        """Make a world with containers in it."""
        return cls({c.name: c for c in found})

    def do(self, action: Action) -> None:
        """Perform *action*, strictly."""
        match action:
            case Remove(container=name):
                self.remove(name)
            case Create(workload=wanted):
                self.create(wanted)
            case Restart(container=name):
                self.restart(name)
            case Start(container=name):
                self.start(name)

    def remove(self, name: str) -> None:
        if name not in self.containers:
            raise Refused(f"there is no container {name}")
        del self.containers[name]
        self.ports.pop(name, None)

    def create(self, wanted: Workload) -> None:
        if wanted.name in self.containers or wanted.name in self.foreign:
            raise Refused(f"the name {wanted.name} is taken")
        if self.images is not None and wanted.service.image not in self.images:
            raise Refused(f"{wanted.service.image} was not pulled")
        nodes = {node.path for node in wanted.service.devices}
        for other in self.containers.values():
            if nodes & {node.path for node in other.devices}:
                raise Refused(f"{other.name} has a device of {wanted.name}")
        self.outside.discard(wanted.name)
        if wanted.service.network_mode is scores.NetworkMode.BRIDGE:
            self.networks.add(wanted.deployment)
        else:
            self.outside.add(wanted.name)
        self._made += 1
        self.ports[wanted.name] = frozenset(port.host for port in wanted.service.ports)
        self.containers[wanted.name] = Container(
            wanted.deployment,
            wanted.service.name,
            wanted.digest,
            f"made-{self._made}",
            Status.CREATED,
            wanted.service.restart_policy,
            image=f"sha256:{wanted.service.image}",
            ports=wanted.service.ports,
            devices=wanted.service.devices,
        )

    def start(self, name: str) -> None:
        found = self.containers.get(name)
        if found is None:
            raise Refused(f"there is no container {name}")
        if found.status not in (Status.CREATED, Status.EXITED):
            raise Refused(f"{name} is {found.status}")
        if found.has_other_node:
            raise Refused(f"{name} would get another node than it asks for")
        for other, ports in self.ports.items():
            if other != name and self._runs(other) and ports & self.ports.get(name, frozenset()):
                raise Refused(f"{other} holds a port of {name}")
        # As podman does, whatever the checks of the run before said.
        health = "starting" if found.health else ""
        self.containers[name] = replace(
            found,
            status=Status.RUNNING,
            started=self.now,
            finished=0,
            exit_code=0,
            health=health,
        )

    def restart(self, name: str) -> None:
        found = self.containers.get(name)
        if found is None or found.status is not Status.RUNNING:
            raise Refused(f"{name} does not run")
        self.now += 1
        self.containers[name] = replace(found, started=self.now, health="starting")

    def end(self, name: str, exit_code: int, *, after: int = 0) -> None:
        """Let a container end, *after* so many seconds."""
        found = self.containers[name]
        self.now = found.started + after
        self.containers[name] = replace(
            found, status=Status.EXITED, exit_code=exit_code, finished=self.now
        )

    def reboot(self) -> None:
        """Cut the power: podman then calls created what ran."""
        for name, found in self.containers.items():
            if found.status is Status.RUNNING:
                self.containers[name] = replace(found, status=Status.CREATED)

    def prune(self) -> None:
        """Remove all that doesn't run, as ``podman container prune`` does."""
        self.containers = {n: c for n, c in self.containers.items() if self._runs(n)}

    def _runs(self, name: str) -> bool:
        found = self.containers.get(name)
        return found is not None and found.status is Status.RUNNING


class FakeRuntime:
    """
    `Runtime` over a `World`.

    *pulls* maps an image to the event that its transfer waits for, *transfers* to how
    that goes; *failures* maps
    an image or a container's name to what goes wrong with it. *dies* maps a
    container's name to the exit code with which it ends right after its start;
    *health* maps it to how its check goes, where that doesn't pass. A container takes
    *stop_seconds* to stop, or what *slow* maps its name to; one with an id of *unstartable*
    won't start.
    """

    name = "fake"

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World(images=set())
        self.pulls: dict[str, asyncio.Event] = {}
        self.transfers: dict[str, Transfer] = {}
        self.failures: dict[str, Exception] = {}
        self.dies: dict[str, int] = {}
        self.health: dict[str, Result] = {}
        self.probes: list[tuple[str, float]] = []
        self.stop_seconds = 0.0
        self.slow: dict[str, float] = {}
        self.unstartable: set[str] = set()
        self.is_down = False
        self.sweeps = 0
        self.former: frozenset[DeviceId] = frozenset()
        self.calls: list[str] = []
        self.broken_off: list[str] = []
        self._changes: asyncio.Queue[DeploymentName | None] = asyncio.Queue()

    def vouch(self, former: frozenset[DeviceId]) -> None:
        self.former = former

    async def version(self) -> str:
        self._check()
        return "1.0"

    async def observe(self, deployment: DeploymentName | None = None) -> tuple[Container, ...]:
        self._check()
        found = self.world.containers.values()
        return tuple(c for c in found if deployment in (None, c.deployment))

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        self._note("fetch", image)
        if policy is scores.PullPolicy.NEVER and image not in (self.world.images or ()):
            raise errors.ImageNotFound(image)
        try:
            if image in self.pulls:
                await self.pulls[image].wait()
        except asyncio.CancelledError:
            self.broken_off.append(image)
            raise
        self._fail(image)
        if self.world.images is None or image in self.world.images:
            return None
        self.world.images.add(image)
        return Fetched(self._image(image), is_new=True)

    def transfer(self, image: str) -> Transfer | None:
        return self.transfers.get(image)

    async def images(self) -> tuple[Image, ...]:
        self._check()
        return tuple(self._image(image) for image in sorted(self.world.images or ()))

    async def image_id(self, reference: str) -> str:
        self._check()
        return f"id-{reference}" if reference in (self.world.images or ()) else ""

    async def remove_image(self, image: Image) -> None:
        self._note("prune", image.id)
        if self._image(*image.names).is_used:
            raise errors.ContainerFailed(f"a container uses {image.id}")
        (self.world.images or set()).difference_update(image.names)

    async def check(self, workload: Workload) -> None:
        self._fail(f"check {workload.name}")

    async def create(self, workload: Workload) -> None:
        self._note("create", workload.name)
        self._fail(f"create {workload.name}")
        if workload.name in self.world.foreign:
            raise errors.NameTaken("not ours")
        self.world.create(workload)

    async def start(self, container: str) -> None:
        self._note("start", container)
        self._fail(f"start {container}")
        found = self.world.containers.get(container)
        if found is not None and found.id in self.unstartable:
            raise errors.ContainerFailed("runc start failed: exit status 1")
        self.world.start(container)
        if container in self.dies:
            self.world.end(container, self.dies[container])
            self.say(container)

    async def restart(self, container: str) -> None:
        self._note("restart", container)
        self._fail(f"restart {container}")
        await asyncio.sleep(self.stop_seconds)
        self.world.restart(container)

    async def probe(self, container: str, within: float) -> Result:
        self._check()
        self.probes.append((container, within))
        result = self.health.get(container, Result(passed=True))
        self._fail(f"probe {container}")
        found = self.world.containers[container]
        if found.status is not Status.RUNNING:
            raise errors.ContainerFailed("it does not run")
        health = "healthy" if result.passed else "unhealthy"
        self.world.containers[container] = replace(found, health=health)
        return result

    async def remove(self, container: str) -> None:
        self._note("remove", container)
        self._fail(f"remove {container}")
        await asyncio.sleep(self.slow.get(container, self.stop_seconds))
        if container in self.world.containers:
            self.world.remove(container)

    async def release(self, deployment: DeploymentName) -> None:
        self._check()
        inside = (c for c in self.world.containers.values() if c.name not in self.world.outside)
        if all(c.deployment != deployment for c in inside):
            self.world.networks.discard(deployment)

    async def shared(self) -> frozenset[DeploymentName]:
        self._check()
        return frozenset(self.world.networks)

    async def sweep(self) -> None:
        self._check()
        self.sweeps += 1

    async def changes(self) -> AsyncGenerator[DeploymentName | None, None]:
        while True:
            yield await self._changes.get()

    def say(self, container: str) -> None:
        """Tell that a container changed."""
        self._changes.put_nowait(DeploymentName(container.split(".")[1]))

    def kill(self, name: str, *, after: int = 100, exit_code: int = 137) -> None:
        """Let a container end, and say so."""
        self.world.end(name, exit_code, after=after)
        self.say(name)

    def running(self) -> set[str]:
        """List the names of what runs."""
        found = self.world.containers.values()
        return {c.name for c in found if c.status is Status.RUNNING}

    def _image(self, reference: str) -> Image:
        used = {c.image for c in self.world.containers.values()}
        is_used = f"sha256:{reference}" in used
        return Image(f"id-{reference}", frozenset([reference]), IMAGE_SIZE, is_used=is_used)

    def _check(self) -> None:
        if self.is_down:
            raise errors.RuntimeUnavailable("down")

    def _note(self, verb: str, what: str) -> None:
        self._check()
        self.calls.append(f"{verb} {what}")

    def _fail(self, what: str) -> None:
        if what in self.failures:
            raise self.failures[what]


def name(service_name: str, deployment: str = WEB) -> str:
    """Spell a container's name."""
    return containers.container_name(DeploymentName(deployment), service_name)
