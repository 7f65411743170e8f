"""
What pytest loads: the options, the marker, and the hooks between a run and its lab.

A run that asks for no fixture of the lab imports nothing of it. Under pytest-xdist each worker uses
the one lab; the controller hears of all tests, and ends the lab once they are over.
"""

import contextlib
import functools
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from lab.plugin import settings
from lab.plugin.results import Results
from lab.plugin.session import runs

if TYPE_CHECKING:
    from lab.plugin.port import LabPort

pytest_plugins = ("lab.plugin.fixtures",)

_FIRST_WORKER = "gw0"
_RESULTS = pytest.StashKey[Results]()
_WORDS = pytest.StashKey[list[str]]()
_BEGUN = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    settings.add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Add our hook."""
    from lab.plugin.port import Hooks  # noqa: PLC0415

    pluginmanager.add_hookspecs(Hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker, and begin to listen."""
    config.addinivalue_line(
        "markers",
        f"{runs.MARKER}(*capabilities): the device that the test gets must be rootful, rootless or "
        "a vm, may open a low-port, or the cluster runs pods",
    )
    config.stash[_RESULTS] = Results(time.time())
    config.stash[_WORDS] = []


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker of pytest-xdist what its controller was told."""
    node.workerinput[settings.WORKER_INPUT] = runs.of(node.config).settings.as_dict()


@pytest.hookimpl(trylast=True)
def pytest_fleet_lab(name: str, topology: str) -> "LabPort":
    """Use the real lab, where no conftest says otherwise."""
    from lab.plugin.session.invoked_lab import InvokedLab  # noqa: PLC0415

    return InvokedLab(name, topology)


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Bring the lab up before the first test, where any uses it: no test's timeout pays for it."""
    config = session.config
    wanted = not _only_shows(config) and not session.testsfailed
    if wanted and any(map(runs.uses_lab, getattr(session, "items", ()))):
        _bring_up(config)
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that needs what no device of the lab can do, before its fixtures are made."""
    if _only_shows(item.config) or not runs.uses_lab(item):
        return
    if needs := runs.needs_of(item):
        runs.of(item.config).check_needs(needs)
    item.stash[_BEGUN] = True  # before that, no device has to do with what becomes of it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach what the lab and its devices last said to the report of a failure."""
    report = yield
    if report.failed and item.stash.get(_BEGUN, False):
        report.sections.extend(runs.of(item.config).evidence(item.nodeid))
    return report


class _Listener:
    """Hears of every test of the run, in the process that ends it."""

    def __init__(self, config: pytest.Config) -> None:
        self._results = config.stash[_RESULTS]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what came of a test's phase."""
        self._results.add(report)


@pytest.hookimpl(wrapper=True)
def pytest_sessionstart(session: pytest.Session) -> Generator[None, None, None]:
    """Listen to the tests, unless this is a worker: its controller does."""
    if not _is_worker(session.config):
        session.config.pluginmanager.register(_Listener(session.config), "fleet-lab-listener")
    return (yield)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(
    session: pytest.Session, exitstatus: int
) -> Generator[None, object, object]:
    """End the lab once all workers have ended, and write the page."""
    result = yield
    config = session.config
    if not _is_worker(config):
        failed = exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
        _end(session, failed=failed)
    return result


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what became of the lab, and where the page is."""
    if words := config.stash[_WORDS]:
        terminalreporter.section("Fleet's lab")
        for line in words:
            terminalreporter.write_line(line)


def _bring_up(config: pytest.Config) -> None:
    from lab.plugin import progress  # noqa: PLC0415

    run, tell = runs.of(config), functools.partial(_tell, config)
    tell(f"lab {run.settings.name} is being brought up: {run.shared.log}")
    with progress.told(run.shared.log, lambda line: tell(f"  {line}")):
        run.shared.attach()


def _end(session: pytest.Session, *, failed: bool) -> None:
    run = runs.of(session.config)
    # Under pytest-xdist the tests' own line has no end yet, and the reporter doesn't know.
    ending = run.finish(failed=failed, tell=lambda words: _tell(session.config, f"\n{words}"))
    if ending is None:
        return
    from lab.plugin import timeline_page  # noqa: PLC0415

    if ending.fate is None and not failed:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED  # what was left behind must be seen
    try:
        written = str(timeline_page.write(run, ending, session.config.stash[_RESULTS]))
    except OSError as exc:
        written = f"not to be had: {exc}"
    session.config.stash[_WORDS] += [ending.words, f"timeline: {written}"]


def _tell(config: pytest.Config, words: str) -> None:
    """Tell a person; under pytest-xdist the first worker does: its controller knows no test."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not _is_worker(config):
        reporter.write_line(words)
    elif runs.of(config).worker == _FIRST_WORKER:
        capture = config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            sys.stderr.write(f"{words}\n")


def _only_shows(config: pytest.Config) -> bool:
    return bool(config.option.collectonly or config.option.setupplan)


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")
