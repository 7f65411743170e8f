"""
What a run was told of its lab: the same in the controller of pytest-xdist and in its workers.

A bad option is an error of usage. A bad variable may be none of the run's business: it is told by
the tests that use the lab.
"""

import enum
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

WORKER_INPUT = "fleet_lab"
_DEFAULT_NAME = "pytest"
_DEFAULT_LOGS = "lab-logs"
_LEASE_WITHIN = 300.0


class Keep(enum.StrEnum):
    """When a lab that the run made is left up at its end."""

    NEVER = "never"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


_KEEPS = {**{str(keep): keep for keep in Keep}, "1": Keep.ALWAYS}  # 1: as Fleet's own suites say


@dataclass(frozen=True, slots=True)
class Settings:
    """The lab of one run; *directory* is the run's own, made when the lab is first asked for."""

    name: str
    topology: str
    keep: Keep
    directory: Path
    lease_within: float = _LEASE_WITHIN
    wrong: str = ""
    """what of the above makes no sense"""

    def as_dict(self) -> dict[str, str]:
        """Return what another process of the run needs: plain strings."""
        return {
            "name": self.name,
            "topology": self.topology,
            "keep": str(self.keep),
            "directory": str(self.directory),
            "lease_within": str(self.lease_within),
            "wrong": self.wrong,
        }


def add_options(parser: pytest.Parser) -> None:
    """Tell pytest of the options."""
    group = parser.getgroup("lab", "Fleet's lab, for tests that ask for it by a fixture")
    group.addoption(
        "--lab-topology",
        metavar="NAME|FILE",
        help="what the lab consists of: smoke, load, …, or a YAML file (LAB_TOPOLOGY; default: "
        "that of the lab if it is up, else smoke)",
    )
    group.addoption(
        "--lab-name",
        metavar="NAME",
        help=f"name of the lab; one that is up is used (LAB_NAME; default: {_DEFAULT_NAME})",
    )
    group.addoption(
        "--lab-keep",
        choices=[str(keep) for keep in Keep],
        help="leave a lab up that this run made: never, on-failure or always (LAB_KEEP; "
        "default: never); one that was up already always stays up",
    )
    group.addoption(
        "--lab-log-dir",
        metavar="DIR",
        help=f"where what failed is kept, and the page with the timeline (default: "
        f"{_DEFAULT_LOGS} in the root directory)",
    )
    group.addoption(
        "--lab-lease-within",
        metavar="SECONDS",
        type=float,
        default=_LEASE_WITHIN,
        help=f"how long a test waits for a device that others hold (default: {_LEASE_WITHIN:g})",
    )


def read(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; a worker of pytest-xdist has those of its controller."""
    if told := getattr(config, "workerinput", {}).get(WORKER_INPUT):
        return Settings(
            told["name"], told["topology"], Keep(told["keep"]), Path(told["directory"]),
            float(told["lease_within"]), told["wrong"],
        )  # fmt: skip
    given = config.option
    keep = given.lab_keep or environ.get("LAB_KEEP") or str(Keep.NEVER)
    return Settings(
        name=given.lab_name or environ.get("LAB_NAME") or _DEFAULT_NAME,
        topology=_topology(config, given.lab_topology or environ.get("LAB_TOPOLOGY") or ""),
        keep=_KEEPS.get(keep, Keep.NEVER),
        directory=_directory(config),
        lease_within=given.lab_lease_within,
        wrong="" if keep in _KEEPS else f"LAB_KEEP={keep}: there are {', '.join(_KEEPS)}",
    )


def _topology(config: pytest.Config, told: str) -> str:
    """Return a name as it is, and a file by its whole path: `lab.up` runs elsewhere."""
    is_file = "/" in told or told.endswith((".yaml", ".yml"))
    return str((config.invocation_params.dir / told).resolve()) if is_file else told


def _directory(config: pytest.Config) -> Path:
    """Return the run's own directory: by when it began, and by its pid."""
    told = config.option.lab_log_dir
    above = config.invocation_params.dir / told if told else config.rootpath / _DEFAULT_LOGS
    return above.resolve() / f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{os.getpid()}"
