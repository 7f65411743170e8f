"""Somebody else's repository, whose conftest puts a fake lab in place of the real one."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import lab.plugin.evidence
import lab.plugin.timeline_page  # noqa: F401 - pytester forgets what a run imports, unless we had it before
from tests.fake_lab import FakeLab

ROOT = Path(__file__).resolve().parents[1]
NAME = "theirs"
CONFTEST = """
def pytest_fleet_lab(name, topology):
    from pathlib import Path
    from tests.fake_lab import FakeLab

    return FakeLab(Path({world!r}), name, topology)
"""


@dataclass(frozen=True, slots=True)
class Theirs:
    """A repository with tests, and what its lab went through."""

    pytester: pytest.Pytester
    lab: FakeLab

    def has(self, tests: str) -> None:
        """Have *tests* in the repository."""
        self.pytester.makepyfile(test_theirs=tests)

    def run(self, *options: str) -> pytest.RunResult:
        """Run its tests in this process."""
        return self.pytester.runpytest_inprocess(*self._always, *options)

    def run_apart(self, *options: str) -> pytest.RunResult:
        """Run its tests in processes of their own."""
        return self.pytester.runpytest_subprocess(*self._always, *options, timeout=60)

    def command(self, *options: str) -> list[str]:
        """Return the command that runs its tests."""
        return [str(each) for each in self.pytester._getpytestargs()] + [*self._always, *options]

    @property
    def directory(self) -> Path:
        """Where the one run that used the lab kept what it has to show."""
        (found,) = (self.pytester.path / "lab-logs").iterdir()
        return found

    @property
    def page(self) -> str:
        """The page of that run."""
        return (self.directory / "timeline.html").read_text()

    @property
    def _always(self) -> tuple[str, ...]:
        without = ("cacheprovider", "hypothesispytest")  # the one writes, the other takes seconds
        return (*(f"-pno:{each}" for each in without), "-ra", f"--lab-name={NAME}")


@pytest.fixture
def theirs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Theirs:
    """A repository with a lab of two devices, the first rootful, the other rootless."""
    for variable in os.environ:
        if variable.startswith(("LAB_", "PYTEST_")):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    world = tmp_path / "world"
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest(CONFTEST.format(world=str(world)))
    return Theirs(pytester, FakeLab.planned(world, NAME))


def plan(theirs: Theirs, **planned: Any) -> None:
    """Make the lab otherwise than usual."""
    FakeLab.planned(theirs.lab.world, NAME, **planned)
