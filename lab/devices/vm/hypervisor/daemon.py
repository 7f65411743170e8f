"""
The lab's own libvirt daemon: a process like its others, in mounts of its own.

It sees ``/run/libvirt``, ``/etc/libvirt`` and the like as directories of the lab, so it shares
nothing with a libvirt of this host, which goes on as it is; nor with that of another lab. It runs
in the host's network, since its machines are plugged into the lab's bridge.
"""

import errno
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from fleet.scores.score import Score
from lab.devices.host import ShortPlaceScore, short_place
from lab.errors import PreflightFailed
from lab.host import files, mounts
from lab.host.files import FileScore
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.system import podman_configuration, probes

PART = "libvirtd"

# Where libvirt looks, and the directory of the lab that it finds there.
_PLACES: Mapping[str, Path] = {
    "run": Path("/run/libvirt"),
    "etc": Path("/etc/libvirt"),
    "lib": Path("/var/lib/libvirt"),
    "cache": Path("/var/cache/libvirt"),
    "log": Path("/var/log/libvirt"),
}
# The files that it finds instead of the host's.
_FILES: Mapping[str, Path] = {"passwd": Path("/etc/passwd"), "group": Path("/etc/group")}
_LAUNCH = """\
while [ "$1" != -- ]; do mount --bind "$1" "$2" || exit; shift 2; done
shift
exec "$@"
"""
_DAEMON = """\
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_dir = "{sockets}"
"""
# libvirtd looks up the account that its build runs QEMU as, even where it is told another, and
# doesn't start without it. Distributions make it with packages that start a daemon of the host
# (Debian's libvirt-daemon-system), so the lab's daemon sees accounts of its own instead.
_ACCOUNTS = ("libvirt-qemu", "qemu", "kvm")
_PASSWD = "root:x:0:0:root:/root:/bin/sh\n" + "".join(
    f"{name}:x:{64055 + at}:{64055 + at}::/nonexistent:/usr/sbin/nologin\n"
    for at, name in enumerate(_ACCOUNTS)
)
_GROUP = "root:x:0:\n" + "".join(f"{name}:x:{64055 + at}:\n" for at, name in enumerate(_ACCOUNTS))
# One user, one machine, no distribution's confinement around it: the lab is root's already. A log
# written by QEMU itself needs no virtlogd; limits that this host lacks are not asked for.
_QEMU = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
"""


def root_of(topology: LabHost) -> Path:
    """Return where the daemon keeps its files."""
    return topology.state / "libvirt"


def uri(topology: LabHost) -> str:
    """Return where the daemon answers, as `virsh -c` takes it."""
    return f"qemu+unix:///system?socket={_sockets(topology) / 'libvirt-sock'}"


def connect(topology: LabHost) -> LibvirtHypervisor:
    """
    Connect to the daemon.

    :raises errors.HypervisorUnavailable: it doesn't answer.
    """
    return LibvirtHypervisor.connect(uri(topology))


def pid_file(topology: LabHost, domain: str) -> Path:
    """Return where libvirt writes the pid of the QEMU of *domain*."""
    return root_of(topology) / "run" / "qemu" / f"{domain}.pid"


def machine_log(topology: LabHost, domain: str) -> Path:
    """Return what the QEMU of *domain* has said."""
    return root_of(topology) / "log" / "qemu" / f"{domain}.log"


def scores(topology: LabHost) -> tuple[Score[LabHost], ...]:
    """Return what makes the daemon answer."""
    root = root_of(topology)
    written = {
        root / "etc" / "libvirtd.conf": _DAEMON.format(sockets=_sockets(topology)),
        root / "etc" / "qemu.conf": _QEMU,
        root / "etc" / "passwd": _PASSWD,
        root / "etc" / "group": _GROUP,
    }
    elsewhere = short_place(topology) in _sockets(topology).parents
    return (
        *([ShortPlaceScore()] if elsewhere else []),
        PlacesScore(),
        *(FileScore(path, content) for path, content in written.items()),
        _process(topology, files.digest(*written.values())),
    )


def _process(topology: LabHost, digest: str) -> ProcessScore:
    root = root_of(topology)
    places = {**{name: root / name for name in _PLACES}, "cache": _cache()}
    over = {
        **{root / "etc" / name: at for name, at in _FILES.items()},
        **{places[name]: at for name, at in _PLACES.items()},
    }
    binds = [str(part) for pair in over.items() for part in pair]
    return ProcessScore(
        part=PART,
        argv=("unshare", "--mount", "--propagation", "private", "sh", "-c", _LAUNCH, "sh",
              *binds, "--", "libvirtd", "--pid-file", "/run/libvirt/libvirtd.pid"),
        ready=probes.unix(_sockets(topology) / "libvirt-sock"),
        config_digest=digest,
    )  # fmt: skip


def _cache() -> Path:
    """Return where libvirt keeps what it knows of QEMU, which takes seconds to find out."""
    return directories.cache_dir() / "libvirt"


def _sockets(topology: LabHost) -> Path:
    """Return where the daemon's sockets are: with its files, unless that is too long a path."""
    usual = root_of(topology) / "run"
    if podman_configuration.fits_a_socket(usual / "libvirt-admin-sock"):
        return usual
    return short_place(topology) / PART


@dataclass(frozen=True)
class PlacesScore(Score[LabHost]):
    """The directories that the daemon has to itself, and those of the host that they hide."""

    @property
    def name(self) -> str:
        return "places of libvirt"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        wanted = (*_PLACES.values(), *self._own(topology))
        return tuple(f"{path} is missing" for path in wanted if not path.is_dir())

    def bring_about(self, topology: LabHost) -> None:
        if shutil.which("libvirtd") is None:
            hint = "apt-get install libvirt-daemon"
            raise PreflightFailed("libvirtd is not installed", element="libvirtd", hint=hint)
        for path in self._own(topology):
            path.mkdir(mode=0o711, parents=True, exist_ok=True)
        for path in _PLACES.values():
            self._claim(topology, path)

    def _own(self, topology: LabHost) -> tuple[Path, ...]:
        own = (root_of(topology) / name for name in _PLACES)
        return (*own, _cache(), _sockets(topology))

    def _claim(self, topology: LabHost, path: Path) -> None:
        try:
            mounts.claim_directory(topology.ledger, path)
        except OSError as exc:
            words = errno.errorcode.get(exc.errno or 0, str(exc))
            raise PreflightFailed(f"{path} can't be made: {words}", element=str(path)) from exc
