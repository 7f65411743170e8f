"""
A podman of its own for tests: store, network namespace and API socket under one directory.

Two configuration files make podman self-contained, and a network namespace
keeps the bridge ``podman0`` and published ports off the host. A mount namespace
keeps what all podmans of root share in ``/run``: addresses, and the server of
names. Leaving the context ends every process and removes every mount it
brought about.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.system import waiting

BUSYBOX = "/bin/busybox"
IMAGE = "localhost/busybox:test"
APPLETS = ("sh", "sleep", "httpd", "cat", "echo", "env", "true", "false", "nc", "test")
NETWORKS = Path("/run/containers/networks")  # of every podman that root runs
NAME_SERVER = NETWORKS / "aardvark-dns/aardvark.pid"
ULIMITS = {"nofile": 1024, "nproc": 1000}

_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1000:1000"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
tmp_dir = "{root}/tmp"
volume_path = "{root}/volumes"
{engine}
[network]
network_backend = "netavark"
network_config_dir = "{root}/networks"
{network}
"""

_STORAGE_CONF = """
[storage]
driver = "overlay"
graphroot = "{root}/graph"
runroot = "{root}/run"
[storage.options.overlay]
skip_mount_home = "true"
"""


# Test registries speak plain HTTP, on loopback.
_REGISTRIES_CONF = """
unqualified-search-registries = []
[[registry]]
location = "127.0.0.1"
insecure = true
"""


@dataclass
class PodmanHost:
    """One podman service; `socket` is its address."""

    root: Path
    namespaces: int
    """the process whose namespaces it lives in"""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def socket(self) -> str:
        """The address of the API."""
        return f"unix://{self.root}/podman.sock"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead podman to this store."""
        return {
            **os.environ,
            "CONTAINERS_CONF": f"{self.root}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.root}/storage.conf",
            "CONTAINERS_REGISTRIES_CONF": f"{self.root}/registries.conf",
            "XDG_RUNTIME_DIR": f"{self.root}/xdg",
        }

    def enter(self, *command: str) -> list[str]:
        """Spell *command* so that it runs in this host's network, and sees its mounts."""
        return ["nsenter", f"--target={self.namespaces}", "--net", "--mount", *command]

    def run(self, *command: str, check: bool = True, data: bytes | None = None) -> str:
        """Run *command* in this host's network, and return what it printed."""
        done = subprocess.run(
            self.enter(*command), env=self.environment, input=data, capture_output=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{command}: {done.stderr.decode()}")
        return done.stdout.decode().strip()

    def podman(self, *arguments: str, check: bool = True) -> str:
        """Run podman against this store."""
        return self.run("podman", *arguments, check=check)

    def start(self) -> None:
        """Start the API service unless it runs, and wait until it answers."""
        if self.processes:
            return
        with (self.root / "service.log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    self.enter("podman", "system", "service", "--time=0", self.socket),
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )
        _await_path(self.root / "podman.sock")

    def stop(self) -> None:
        """End the API service; containers stay."""
        for process in self.processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.processes.clear()
        (self.root / "podman.sock").unlink(missing_ok=True)

    def reboot(self) -> None:
        """
        End all that runs, as a power cut does, and lose what lies in ``/run``.

        The store stays. Podman, started anew, finds out that nothing runs.
        """
        found = json.loads(self.podman("inspect", *self.podman("ps", "-q").split()))
        self.stop()
        for each in found:
            for pid in (each["State"]["ConmonPid"], each["State"]["Pid"]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if namespace := each["NetworkSettings"]["SandboxKey"]:
                self.run("umount", "--lazy", namespace, check=False)
                Path(namespace).unlink(missing_ok=True)
            shutil.rmtree(Path("/run/runc") / each["Id"], ignore_errors=True)
        self.unmount()
        self.end_name_server()
        for name in ("run", "tmp", "xdg"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        for name in ("tmp", "xdg"):
            (self.root / name).mkdir()
        self.start()

    def lose_storage(self, name: str) -> None:
        """Leave of a container what a power cut amid its removal leaves: podman's word alone."""
        container = self.podman("container", "inspect", "--format={{.Id}}", name)
        self.podman("container", "cleanup", name)  # a dead container's mounts go a little later
        self.stop()
        lost = _parted(self.root / "graph/overlay-containers/containers.json", container)
        _parted(self.root / "graph/overlay-layers/layers.json", lost["layer"])
        shutil.rmtree(self.root / "graph/overlay-containers" / container)
        shutil.rmtree(self.root / "graph/overlay" / lost["layer"])
        self.start()

    def leave_storage(self, name: str) -> None:
        """Leave of a container what a podman that is killed while it creates it leaves."""
        self.stop()
        parts = ("overlay-containers", "overlay-layers", "overlay")
        for part in parts:
            shutil.copytree(self.root / "graph" / part, self.root / "kept" / part, symlinks=True)
        self.podman("rm", "--force", "--time=0", name)
        for part in parts:
            shutil.rmtree(self.root / "graph" / part)
            shutil.move(self.root / "kept" / part, self.root / "graph" / part)
        self.start()

    def clear(self) -> None:
        """Remove every container, and every network that isn't podman's own."""
        self.podman("rm", "--all", "--force", "--time=0")
        self.podman("network", "prune", "--force")

    def unmount(self) -> None:
        """Remove every mount beneath its directory."""
        mounts = Path(f"/proc/{self.namespaces}/mounts").read_text().splitlines()
        for line in reversed(mounts):
            target = line.split()[1]
            if target.startswith(f"{self.root}/"):
                self.run("umount", "--lazy", target, check=False)

    def name_server(self) -> int | None:
        """Find the process that answers names; None where none runs."""
        told = Path(f"/proc/{self.namespaces}/root{NAME_SERVER}")
        return int(told.read_text()) if told.exists() else None

    def end_name_server(self) -> None:
        """
        Kill the process that answers names, if there is one, and wait until it is reaped.

        netavark takes the process for alive as long as a signal reaches it, and so a zombie too;
        an init that isn't systemd reaps it seconds later.
        """
        process = self.name_server()
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        _await(lambda: not Path(f"/proc/{process}").exists(), f"process {process} is gone")

    def containers(self) -> dict[str, str]:
        """Map the name of every container to its id and time of start."""
        lines = self.podman("ps", "--all", "--format={{.Names}} {{.ID}}:{{.StartedAt}}")
        return dict(line.split(" ", 1) for line in lines.splitlines())


@contextlib.contextmanager
def podman_host(*, size: str = "", engine: str = "", network: str = "") -> Iterator[PodmanHost]:
    """
    Bring a podman up, with `IMAGE` in its store; take all of it down again.

    With *size* (such as ``32m``) it lives on a disk of that size. *engine* and *network* are more
    lines of these sections of its containers.conf.
    """
    with (
        tempfile.TemporaryDirectory(
            prefix="fleet-podman-", ignore_cleanup_errors=True
        ) as directory,
        _disk(directory, size),
        _namespaces() as holder,
    ):
        host = PodmanHost(root=Path(directory), namespaces=holder)
        _configure(host, engine=engine, network=network)
        host.start()
        try:
            yield host
        finally:
            try:
                host.clear()
            finally:
                host.stop()
                host.end_name_server()
                host.unmount()


def _parted(records: Path, lost: str) -> Any:
    """Take the record whose id is *lost* out of a file, and return it."""
    known = json.loads(records.read_text())
    records.write_text(json.dumps([each for each in known if each["id"] != lost]))
    (gone,) = (each for each in known if each["id"] == lost)
    return gone


def _configure(host: PodmanHost, **more: str) -> None:
    for name in ("tmp", "volumes", "networks", "xdg", "rootfs"):
        (host.root / name).mkdir()
    (host.root / "containers.conf").write_text(_CONTAINERS_CONF.format(root=host.root, **more))
    (host.root / "storage.conf").write_text(_STORAGE_CONF.format(root=host.root))
    (host.root / "registries.conf").write_text(_REGISTRIES_CONF)
    host.podman("import", "--change", "CMD /bin/sh", str(_rootfs(host.root)), IMAGE)


def _rootfs(root: Path) -> Path:
    archive = root / "rootfs.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(BUSYBOX, "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    return archive


@contextlib.contextmanager
def _disk(directory: str, size: str) -> Iterator[None]:
    if not size:
        yield
        return
    options = f"--options=size={size}"
    subprocess.run(["mount", "-t", "tmpfs", options, "tmpfs", directory], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", directory], check=False)


@contextlib.contextmanager
def _namespaces() -> Iterator[int]:
    """Hold a network without links, and a view of the mounts with a ``/run`` of podman's own."""
    shared = NETWORKS.parent
    shared.mkdir(parents=True, exist_ok=True)
    prepare = f"ip link set lo up && mount -t tmpfs tmpfs {shared} && exec sleep infinity"
    holder = subprocess.Popen(
        ["unshare", "--net", "--mount", "/bin/sh", "-c", prepare], start_new_session=True
    )
    try:
        _await(
            lambda: Path(f"/proc/{holder.pid}/comm").read_text().strip() == "sleep",
            "namespaces of its own",
        )
        yield holder.pid
    finally:
        holder.kill()
        holder.wait()


def _await_path(path: Path) -> None:
    _await(path.exists, str(path))


def _await(probe, what: str, within: float = 15.0) -> None:
    waiting.wait_for(what, lambda: "" if probe() else "not there", within=within, every=0.02)
