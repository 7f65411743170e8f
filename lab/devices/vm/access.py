"""
Reaches a machine from this host: by SSH as its administrator, or at its serial console.

The host key is pinned before the machine ever boots, so nobody is asked whether to trust it.
None of the user's own SSH configuration is read, and none is written.
"""

import shlex
from collections.abc import Sequence

from fleet.scores.device.keys import FleetSshKeypair, ensure_fleet_ssh_keypair
from lab.devices.vm import device as devices
from lab.devices.vm.device import ADMIN, VmDevice
from lab.devices.vm.hypervisor import daemon
from lab.host.lab_host import LabHost

KEYS = "lab"
"""the namespace of the key pair that opens every machine of every lab of this data directory"""


def keypair() -> FleetSshKeypair:
    """Return the key pair of the administrator of all machines; made when it isn't there."""
    return ensure_fleet_ssh_keypair(KEYS)


def ssh(
    topology: LabHost, device: VmDevice, command: Sequence[str] = (), *, terminal: bool = False
) -> tuple[str, ...]:
    """Return what logs in to *device*, and runs *command* there, word by word, if there is one."""
    options = {
        "UserKnownHostsFile": devices.places(topology, device.id).known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "PasswordAuthentication": "no",
        "ConnectTimeout": "15",
        "LogLevel": "ERROR",
    }
    return (
        "ssh", "-F", "none", *(["-t"] if terminal else []), "-i", str(keypair().private),
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        f"{ADMIN}@{devices.address(topology, device)}",
        *(["--", shlex.join(command)] if command else []),
    )  # fmt: skip


def console(topology: LabHost, device: VmDevice) -> tuple[str, ...]:
    """Return what attaches to the serial console of *device*; Ctrl-] leaves it."""
    name = devices.domain_name(topology, device.id)
    return ("virsh", "--connect", daemon.uri(topology), "console", "--force", name)
