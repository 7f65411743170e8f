"""
The configuration that makes one device's podman self-contained.

Everything lies under the device's directory; what podman insists on elsewhere (``/run``,
``/var/lib/containers``) is the device's own by its mount namespace. Decides only:
`lab.devices.host` writes the files.
"""

import json
import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_CAP_SYS_RESOURCE = 24
_LONGEST_SOCKET = 107  # sun_path holds 108 bytes, the last of them 0


@dataclass(frozen=True, slots=True)
class Limits:
    """The ulimits a container gets; empty where podman's own can be set."""

    nofile: int
    nproc: int

    def as_dict(self) -> dict[str, int]:
        """Return them by name."""
        return {"nofile": self.nofile, "nproc": self.nproc}


@dataclass(frozen=True, slots=True)
class Engine:
    """How podman runs containers on this host."""

    runtime: str
    limits: Limits | None


def limits_for(capabilities: int, hard_nofile: int, hard_nproc: int) -> Limits | None:
    """Return lowered limits where podman's own need a CAP_SYS_RESOURCE we lack."""
    if capabilities & (1 << _CAP_SYS_RESOURCE):
        return None
    return Limits(_at_most(hard_nofile, 1024), _at_most(hard_nproc, 1000))


def runtime_for(*, pure_v2: bool, has_crun: bool) -> str:
    """Return the OCI runtime: crun refuses hybrid cgroups, runc runs everywhere."""
    return "crun" if pure_v2 and has_crun else "runc"


def containers_conf(root: Path, engine: Engine, temporary: Path | None = None) -> str:
    """Return ``containers.conf``. Locks are files: in shared memory all stores would share them."""
    temporary = temporary or root / "tmp"
    limits = engine.limits.as_dict() if engine.limits else {}
    ulimits = [f"{name}={value}:{value}" for name, value in limits.items()]
    return f"""\
[containers]
default_ulimits = {json.dumps(ulimits)}
log_driver = "k8s-file"
[engine]
runtime = "{engine.runtime}"
cgroup_manager = "cgroupfs"
events_logger = "file"
lock_type = "file"
tmp_dir = "{temporary}"
volume_path = "{root}/volumes"
image_copy_tmp_dir = "{root}/pulls"
[network]
network_backend = "netavark"
network_config_dir = "{root}/networks"
"""


def storage_conf(root: Path, base: Path | None) -> str:
    """Return ``storage.conf``, with the read-only store of base images that devices share."""
    shared = json.dumps([str(base)] if base else [])
    return f"""\
[storage]
driver = "overlay"
graphroot = "{root}/store"
rootless_storage_path = "{root}/store"
runroot = "{root}/run"
[storage.options]
additionalimagestores = {shared}
[storage.options.overlay]
skip_mount_home = "true"
"""


def registries_conf(registry: str) -> str:
    """Return ``registries.conf``: the lab's registry speaks plain HTTP, and is the only one."""
    return f"""\
unqualified-search-registries = []
[[registry]]
location = "{registry}"
insecure = true
"""


def policy() -> str:
    """Return ``policy.json``: the lab's images are not signed."""
    return json.dumps({"default": [{"type": "insecureAcceptAnything"}]}, indent=2) + "\n"


def environment(root: Path) -> dict[str, str]:
    """Return the variables that point podman to its files beneath *root*."""
    return {
        "CONTAINERS_CONF": f"{root}/containers.conf",
        "CONTAINERS_STORAGE_CONF": f"{root}/storage.conf",
        "CONTAINERS_REGISTRIES_CONF": f"{root}/registries.conf",
        "HOME": str(root),  # where policy.json is looked for first
        "TMPDIR": f"{root}/pulls",
    }


def files(
    root: Path,
    engine: Engine,
    registry: str,
    base: Path | None = None,
    temporary: Path | None = None,
) -> Mapping[Path, str]:
    """Return podman's files beneath *root*; *temporary* is for what ends with a reboot."""
    return {
        root / "containers.conf": containers_conf(root, engine, temporary),
        root / "storage.conf": storage_conf(root, base),
        root / "registries.conf": registries_conf(registry),
        root / ".config/containers/policy.json": policy(),
    }


def fits_a_socket(path: Path) -> bool:
    """Tell whether a unix socket can have that path."""
    return len(str(path).encode()) <= _LONGEST_SOCKET


def engine_here() -> Engine:
    """Return how podman runs containers on this host, by looking at it."""
    cgroups = Path("/sys/fs/cgroup")
    runtime = runtime_for(
        pure_v2=(cgroups / "cgroup.controllers").exists(), has_crun=bool(shutil.which("crun"))
    )
    capabilities = next(
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text().splitlines()
        if line.startswith("CapEff:")
    )
    _, nofile = resource.getrlimit(resource.RLIMIT_NOFILE)
    _, nproc = resource.getrlimit(resource.RLIMIT_NPROC)
    return Engine(runtime, limits_for(capabilities, nofile, nproc))


def _at_most(hard: int, wanted: int) -> int:
    return wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
