"""
Rules about the strings of a score: one pattern and one sentence each.

The API server checks the pattern as CEL, the agent in Python; both show the
sentence. Patterns therefore keep to what RE2 and `re` read alike, without
backslashes, and contain no single quote.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleet.contracts import quantities

RESERVED_LABELS = "(^|[.])nationtech[.]io/"
RESERVED_LABELS_SAYS = "labels: keys of nationtech.io are Fleet's own"


@dataclass(frozen=True, slots=True)
class Form:
    """What a string must look like. *says* finishes the sentence "<field>: ..."."""

    pattern: str
    says: str

    def fits(self, value: str) -> bool:
        """Tell whether *value* has this form."""
        return re.fullmatch(self.pattern, value) is not None

    def check(self, field: str, value: str) -> None:
        """
        Check *value*.

        :raises ValueError: it has another form.
        """
        if not self.fits(value):
            raise ValueError(f"{field}: {value!r} is not {self.says}")


# Each segment has something but dots; read so that it can be split in one way only.
_PATH = "(/[.]*[^/.][^/]*)+"
MOUNT_PATH = Form(f"^{_PATH}$", "an absolute path below /, such as /data, without '.' and '..'")
HOST_PATH = Form(f"^(/|{_PATH})$", "an absolute path, such as /srv/data, without '.' and '..'")
# As registries and podman read references; what only podman can tell, such as the length of a
# digest, is left to it. For `re` no set begins with "[": "Z" stands before it.
_HOST = "([Z[][0-9a-fA-F:]+[]]|[a-zA-Z0-9]+(([.]|[-]+)[a-zA-Z0-9]+)*)(:[0-9]+)?"
_COMPONENT = "[a-z0-9]+(([.]|_|__|[-]+)[a-z0-9]+)*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = "[A-Za-z][A-Za-z0-9]*([-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]+"
IMAGE = Form(
    f"^({_HOST}/)?{_COMPONENT}(/{_COMPONENT})*(:{_TAG})?(@{_DIGEST})?$",
    "the reference of an image, such as registry.example.org/web:1.2, without docker://",
)
USER = Form(
    "^[A-Za-z0-9_][A-Za-z0-9_.-]*(:[A-Za-z0-9_][A-Za-z0-9_.-]*)?$",
    "a user id or name, such as 1000, 1000:1000 or www-data",
)
CAPABILITY = Form("^[A-Z][A-Z0-9_]*$", "a capability like NET_ADMIN, or ALL")
LABEL_KEY = Form(
    "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    "a label key like team or example.org/team",
)
DEVICE_PATH = Form(f"^/dev{_PATH}$", "a device node below /dev, without '.' and '..'")
# podman parts what it is told of a device node by ":".
CONTAINER_PATH = Form(
    "^(/[.]*[^/.:][^/:]*)+$", "an absolute path below /, without '.', '..' and ':'"
)
PERMISSIONS = Form("^(r|w|m|rw|rm|wm|rwm)$", "some of r, w and m, in that order, such as rw")
FILE_MODE = Form("^0?[0-7]{3}$", 'three octal digits in quotes, such as "0444"')
DIRECTORY_MODE = Form("^[01]?[0-7]{3}$", 'three or four octal digits in quotes, such as "1777"')
HOST_NAME = Form(
    "^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$",
    "the name of a host, such as db or db.example.org",
)
# What the kernel keeps for each container, as podman's own command line has it.
SYSCTL = Form(
    "^((net|fs[.]mqueue)([.][A-Za-z0-9_-]+)+"
    "|kernel[.](msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced))$",
    "a sysctl that a container has of its own: net.*, fs.mqueue.*, or kernel.msg*, sem and shm*",
)
_OF_NETWORK = "net."
MEMORY = Form(quantities.MEMORY_PATTERN, quantities.MEMORY_SAYS)
CPUS = Form(quantities.CPUS_PATTERN, quantities.CPUS_SAYS)


def capabilities(add: Iterable[str], drop: Iterable[str]) -> None:
    """
    Check what is added and dropped.

    :raises ValueError: a name of another form, or one that is in both.
    """
    for name in (*add, *drop):
        CAPABILITY.check("capabilities", name)
        if name.startswith("CAP_"):
            raise ValueError(f"capabilities: {name!r} is written without CAP_")
    both = sorted(set(add) & set(drop))
    if both:
        raise ValueError(f"capabilities: {both[0]!r} is both added and dropped")


def labels(given: Mapping[str, str]) -> None:
    """
    Check the keys of a container's labels.

    :raises ValueError: a key of another form, or one of Fleet's own.
    """
    for key in given:
        LABEL_KEY.check("labels", key)
        if re.search(RESERVED_LABELS, key):
            raise ValueError(f"{RESERVED_LABELS_SAYS}: {key!r}")


def sysctls(given: Mapping[str, str], *, is_host_network: bool) -> None:
    """
    Check which sysctls are set.

    :raises ValueError: one that is the device's rather than the container's.
    """
    for key in given:
        SYSCTL.check("sysctls", key)
        if is_host_network and key.startswith(_OF_NETWORK):
            raise ValueError(f"sysctls: {key!r} is the device's own in networkMode host")


def ip_address(field: str, value: str) -> None:
    """
    Check that *value* is an IPv4 or IPv6 address.

    :raises ValueError: it is none.
    """
    try:
        ipaddress.ip_address(value)
    except ValueError as exc:
        raise ValueError(f"{field}: {value!r} is not an IPv4 or IPv6 address") from exc


def unique(field: str, values: Iterable[str]) -> None:
    """
    Check that no value stands twice.

    :raises ValueError: naming the first that does.
    """
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{field}: {value!r} stands twice")
        seen.add(value)
