"""The files of the tree that are made from others: the lock, the CRDs and the lab's schema."""

import json
from collections.abc import Iterator
from pathlib import Path

from lab.proof.suites import Suite

# What each requirement file locks: arguments to `uv pip compile`.
_LOCKED = {
    "dev": ("pyproject.toml", "--all-extras", "--group", "dev"),
    "agent": ("pyproject.toml", "--extra", "agent"),
    "operator": ("pyproject.toml", "--extra", "operator"),
    "build": ("--group", "build"),
    "uv": ("--group", "uv"),
    "nats-server": ("--group", "nats-server"),
    "go": ("--group", "go"),
    "libvirt": ("--group", "libvirt"),
}
# One file installs on every Python and platform that we know, and names no index.
_COMPILE = (
    *("uv", "pip", "compile", "--quiet", "--python-version", "3.11", "--universal"),
    *("--generate-hashes", "--no-header", "--no-emit-index-url", "--no-annotate"),
)


def locks(*, upgrade: bool) -> tuple[Suite, ...]:
    """List the compilations, `dev` first: the other files take their versions from it."""
    upgrading = ("--upgrade",) if upgrade else ()
    return tuple(
        Suite(name, (*_COMPILE, *upgrading, *_constraint(name), *arguments, "-o", _file(name)))
        for name, arguments in _LOCKED.items()
    )


def write_crds(directory: Path) -> Iterator[Path]:
    """Write every manifest of fleet.contracts.schemas.crds, and tell which."""
    # Late: `invoke check` must be able to tell what is wrong with a tree that doesn't import.
    from fleet.contracts.schemas import crds  # noqa: PLC0415

    directory.mkdir(parents=True, exist_ok=True)
    for name, text in crds.manifests().items():
        path = directory / name
        path.write_text(text)
        yield path


def write_schema() -> Path:
    """Write the JSON Schema of topologies, and tell where."""
    from lab.lifecycle import topology  # noqa: PLC0415 - late, as above

    topology.SCHEMA.write_text(json.dumps(topology.schema(), indent=2) + "\n")
    return topology.SCHEMA


def _constraint(name: str) -> tuple[str, ...]:
    return () if name == "dev" else ("--constraint", _file("dev"))


def _file(name: str) -> str:
    return f"requirements/{name}.txt"
