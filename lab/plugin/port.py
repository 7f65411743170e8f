"""A lab, as far as a test run needs one; what a `conftest.py` may put another in place of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytest

Status: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program on a device answered."""

    code: int
    out: str
    err: str

    @property
    def ok(self) -> bool:
        """Tell whether the program ended well."""
        return self.code == 0


class LabPort(Protocol):
    """
    One lab by its name. Every method raises `lab.errors.LabError` when it can't do its work.

    `PreflightFailed` among them says that the host can't carry a lab at all.
    """

    @property
    def state(self) -> Path:
        """The lab's state directory, whether it is up or not."""

    @property
    def down_line(self) -> str:
        """What a person types to take the lab down, where a run leaves it up."""

    def up(self, log: Path) -> None:
        """Bring the lab up, or repair it; what is said meanwhile goes to *log*."""

    def down(self, log: Path) -> None:
        """Take the lab down; what is said meanwhile goes to *log*."""

    def status(self) -> Status:
        """Return the lab's machine-readable face: `lab.status --format json`."""

    def misfits(self) -> tuple[str, ...]:
        """Return the doctor's reasons why this host can't carry a lab, each with its remedy."""

    def ask(self, device: str, argv: Sequence[str], *, within: float) -> Answer:
        """Run a program in a device, as `lab.exec` does, and return what it answered."""


class Hooks:
    """The hooks that the plugin adds to pytest's."""

    @pytest.hookspec(firstresult=True)
    def pytest_fleet_lab(self, name: str, topology: str) -> LabPort | None:
        """Return the lab to use; no *topology*: the one it has, or the usual one."""
