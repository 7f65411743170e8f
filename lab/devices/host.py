"""
A *host* device: its own network and mounts, its own podman, the real agent, real containers.

Nothing here is simulated but the computer itself. `scores` are the device's parts, in order;
`undo_containers` ends whatever its podman made.
"""

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.scores.score import Score
from lab.devices import agent_configuration, agent_environment, rootless
from lab.devices.host_device import HostDevice
from lab.errors import NothingThere
from lab.host import cgroups, files, mounts, network, processes, source_digests
from lab.host.files import FileScore
from lab.host.lab_host import LabHost
from lab.host.ledger import Entry, Kind
from lab.host.network import CableScore, NamespacesScore, PlacesScore
from lab.host.processes import Inside, ProcessScore
from lab.system import commands, podman_configuration, probes, procfs

_PING_WITHIN = 30
_VOLATILE = ("run", "tmp", "pulls")
_LASTING = ("store", "volumes", "networks")


def root_of(topology: LabHost, device: str) -> Path:
    """Return where *device* keeps its files."""
    return topology.state / "devices" / device


def socket_of(topology: LabHost, device: str) -> Path:
    """Return the socket of *device*'s podman: in its directory, unless that is too long a path."""
    usual = root_of(topology, device) / "podman.sock"
    return (
        usual
        if podman_configuration.fits_a_socket(usual)
        else short_place(topology) / device / usual.name
    )


def short_place(topology: LabHost) -> Path:
    """Return where sockets go whose own path would be too long (`ShortPlaceScore`)."""
    return Path(f"/tmp/fleet-lab-{topology.addresses.number}")  # noqa: S108 - closed to others


def ground(topology: LabHost, devices: Iterable[str]) -> tuple[Score[LabHost], ...]:
    """Return what must be there before the parts of any of *devices*."""
    sockets = [socket_of(topology, device) for device in devices]
    elsewhere = any(short_place(topology) in socket.parents for socket in sockets)
    return (PlacesScore(), *([ShortPlaceScore()] if elsewhere else []))


def scores(topology: LabHost, device: HostDevice) -> tuple[Score[LabHost], ...]:
    """Return the parts of *device*, in the order to bring them about."""
    return (*computer(topology, device), *_agent(topology, device))


def computer(topology: LabHost, device: HostDevice) -> tuple[Score[LabHost], ...]:
    """Return the parts of *device* but its agent: network, store and podman."""
    root = root_of(topology, device.id)
    temporary = None if device.user is None else rootless.temporary(device.user)
    written = podman_configuration.files(
        root, podman_configuration.engine_here(), device.registry, device.base, temporary
    )
    return (
        NamespacesScore(device.id, _mounts(root, device.user)),
        CableScore(device.id, device.index),
        StoreScore(device.id, device.user),
        *(FileScore(path, content) for path, content in written.items()),
        _podman_service(topology, device, files.digest(*written.values())),
    )


def inside(topology: LabHost, device: HostDevice) -> Inside:
    """Return where, and as whom, the programs of *device* run."""
    return replace(network.namespaces(topology, device.id), user=device.user)


def environment_of(topology: LabHost, device: HostDevice) -> Mapping[str, str]:
    """Return what the programs of *device* find set."""
    own = podman_configuration.environment(root_of(topology, device.id))
    return own if device.user is None else {**own, **rootless.environment(device.user)}


def _mounts(root: Path, user: int | None) -> tuple[str, ...]:
    if user is None:
        return ()
    program = agent_environment.agent()
    python = Path(sys.base_prefix).resolve()
    return rootless.mounts(
        user, root, (root, program.parents[2], python, agent_environment.ROOT / "src")
    )


def _podman_service(topology: LabHost, device: HostDevice, digest: str) -> ProcessScore:
    socket = socket_of(topology, device.id)
    return ProcessScore(
        part=device.podman_part,
        argv=("podman", "system", "service", "--time=0", f"unix://{socket}"),
        env=environment_of(topology, device),
        ready=probes.http("/_ping", unix_socket=socket),
        within=_PING_WITHIN,
        inside=inside(topology, device),
        config_digest=digest,
    )


def _agent(topology: LabHost, device: HostDevice) -> tuple[Score[LabHost], ...]:
    root = root_of(topology, device.id)
    credentials, settings = root / "credentials.json", root / "agent.toml"
    config = agent_configuration.agent_config(
        device,
        podman_configuration.engine_here(),
        socket=socket_of(topology, device.id),
        credentials=credentials,
        state_dir=journal_of(topology, device.id),
    )
    process = ProcessScore(
        part=device.agent_part,
        argv=(str(agent_environment.agent()),),
        env={"FLEET_AGENT_CONFIG": str(settings)},
        ready=probes.anything,
        says='"event": "starting"',
        inside=inside(topology, device),
        config_digest=files.digest(config, source_digests.digest("contracts", "bus", "agent")),
    )
    handed_over = HandedOverScore(device.credentials, credentials, device.user)
    return (FileScore(settings, config), handed_over, process)


def restart_agent(topology: LabHost, device: HostDevice) -> None:
    """End the agent of *device*, and start it anew. Its containers run on."""
    if entry := topology.ledger.find(Kind.PROCESS, device.agent_part):
        processes.stop(entry)
    for score in _agent(topology, device):
        score.interpret(topology).expect()


def journal_of(topology: LabHost, device: str) -> Path:
    """Return where the agent of *device* keeps what it remembers."""
    return root_of(topology, device) / "state"


def remove_containers(topology: LabHost, device: HostDevice) -> None:
    """Remove every container of *device*, whose `computer` is there. Images and volumes stay."""
    removal = ("podman", "rm", "--all", "--force", "--time", "0")
    env = {**processes.minimal_environment(), **environment_of(topology, device)}
    commands.run(*inside(topology, device).enter(), *removal, env=env, within=120)


@dataclass(frozen=True)
class HandedOverScore(Score[LabHost]):
    """A device has its own copy of a secret, which its *user* alone can read."""

    given: Path
    kept: Path
    user: int | None

    @property
    def name(self) -> str:
        return f"file {self.kept.name}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        try:
            there, about = self.kept.read_text(), self.kept.stat()
        except FileNotFoundError:
            return (f"{self.kept} is missing",)
        found = (about.st_uid, about.st_mode & 0o777)
        wanted = (os.geteuid() if self.user is None else self.user, 0o600)
        same = found == wanted and self.given.exists() and there == self.given.read_text()
        return () if same else (f"{self.kept} is another",)

    def bring_about(self, topology: LabHost) -> None:
        del topology
        if not self.given.exists():
            raise NothingThere(f"{self.given} is missing", element=str(self.given))
        files.write(self.kept, self.given.read_text(), 0o600)
        if self.user is not None:
            os.chown(self.kept, self.user, self.user)


@dataclass(frozen=True)
class ShortPlaceScore(Score[LabHost]):
    """There is a place, closed to others, for the sockets whose own path would be too long."""

    @property
    def name(self) -> str:
        return "place of sockets"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        where = short_place(topology)
        known = topology.ledger.find(Kind.DIRECTORY, str(where))
        return () if known and where.is_dir() else (f"{where} is missing",)

    def bring_about(self, topology: LabHost) -> None:
        mounts.make_closed(topology.ledger, short_place(topology))


@dataclass(frozen=True)
class StoreScore(Score[LabHost]):
    """
    *device* has the directories of its store, and the ledger knows what will be in them.

    A device whose namespaces are new has booted: what podman keeps in ``/run`` on a real device is
    emptied, or it would take containers for running that ended with the old namespaces.
    """

    device: str
    user: int | None = None

    @property
    def name(self) -> str:
        return f"store {self.device}"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        known = topology.ledger.find(Kind.CONTAINERS, self.device)
        places = (root_of(topology, self.device) / "store", socket_of(topology, self.device).parent)
        if known is None or not all(place.is_dir() for place in places):
            return ("it is missing",)
        return () if known.facts.get("boot") == self._boot(topology) else ("the device has booted",)

    def bring_about(self, topology: LabHost) -> None:
        root, inside = root_of(topology, self.device), network.namespaces(topology, self.device)
        boot = self._boot(topology)
        known = topology.ledger.find(Kind.CONTAINERS, self.device)
        topology.ledger.intend(
            Kind.CONTAINERS, self.device, root=str(root), net=str(inside.net), mnt=str(inside.mnt),
            user=self.user,
        )  # fmt: skip
        if known and known.facts.get("boot") != boot:
            _end_user(self.user)
            for container in _container_ids(root):
                _end_container(container)
            for name in _VOLATILE:
                shutil.rmtree(root / name, ignore_errors=True)
        places = [root / name for name in (*_VOLATILE, *_LASTING)]
        for path in (root, socket_of(topology, self.device).parent, *places):
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
            if self.user is not None:
                os.chown(path, self.user, self.user)
        topology.ledger.note(Kind.CONTAINERS, self.device, boot=boot)

    def _boot(self, topology: LabHost) -> str:
        """Return what changes when the device's namespaces, or the host, are others."""
        net = network.namespaces(topology, self.device).net
        return f"{procfs.boot_id()} {net.stat().st_ino if net.exists() else 0}"


def undo_containers(entry: Entry) -> None:
    """Remove every container of a store, end what is left of them, and delete the store."""
    root = Path(entry.facts["root"])
    inside = Inside(Path(entry.facts["net"]), Path(entry.facts["mnt"]))
    if not root.exists():
        return
    ids, user = _container_ids(root), entry.facts.get("user")
    _end_user(user)
    if user is None and ids and all(map(mounts.is_namespace, inside.files)):
        removal = ("podman", "rm", "--all", "--force", "--time", "0")
        commands.ask(*inside.enter(), *removal, env=_environment(root), within=120)
    for container in ids:
        _end_container(container)
    for who in procfs.in_namespace(inside.net):
        processes.end(who, f"pid {who.pid} of {entry.name}", patience=1)
    mounts.unmount_beneath(root)
    shutil.rmtree(root)


def _environment(root: Path) -> dict[str, str]:
    return {**processes.minimal_environment(), **podman_configuration.environment(root)}


def _container_ids(root: Path) -> tuple[str, ...]:
    """Return the ids of all containers ever made in the store, by its own directories."""
    try:
        return tuple(
            path.name for path in (root / "store/overlay-containers").iterdir() if path.is_dir()
        )
    except FileNotFoundError:
        return ()


def _end_user(user: int | None) -> None:
    """End what runs as a rootless device's user, or its containers': those ids are its own."""
    for who in procfs.of_users(range(user, user + rootless.IDS)) if user is not None else ():
        processes.end(who, f"pid {who.pid} of user {user}", patience=0)


def _end_container(container: str) -> None:
    """End what runs in a container's cgroup, and remove it: 64 random hex digits are ours alone."""
    for who in procfs.in_cgroup(container):
        processes.end(who, f"pid {who.pid} of container {container[:12]}", patience=0)
    for path in tuple(cgroups.of_container(container)):
        cgroups.remove(path)
