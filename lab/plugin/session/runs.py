"""
The lab of one pytest run, as one of its processes sees it; and what became of its tests.

Made by pytest's configuration in every run, so nothing here is imported that a run without a lab
would pay for.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from lab.plugin import settings
from lab.plugin.settings import Settings

if TYPE_CHECKING:
    from lab.plugin.devices import Device, Lab
    from lab.plugin.port import LabPort
    from lab.plugin.session.shared_lab import Ending, SharedLab

FIXTURE = "_fleet_lab_run"
MARKER = "needs"
_MOST_EVIDENCE = 20  # failures of one worker: what fails everywhere says the same


class Run:
    """One process' view of the run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._shared: SharedLab | None = None
        self._port: LabPort | None = None
        self._lab: Lab | None = None
        self._attached = 0
        self.settings: Settings = settings.read(config)
        self.worker: str = getattr(config, "workerinput", {}).get("workerid", "main")

    @property
    def port(self) -> "LabPort":
        """Return the lab itself: the real one, unless a conftest puts another in its place."""
        if self._port is None:
            self._port = self._config.hook.pytest_fleet_lab(
                name=self.settings.name, topology=self.settings.topology
            )
        return self._port

    @property
    def shared(self) -> "SharedLab":
        """Return the lab as it is shared with the other processes of the run."""
        if self._shared is None:
            from lab.plugin.session.shared_lab import SharedLab  # noqa: PLC0415

            self._shared = SharedLab(self.settings, self.port)
        return self._shared

    def lab(self) -> "Lab":
        """Return the lab, up; or skip where the host can't carry one, or fail as it first did."""
        from lab.plugin.session.shared_lab import Came  # noqa: PLC0415

        outcome = self.shared.attach()
        if outcome.came is Came.UNFIT:
            pytest.skip(f"this host can't carry a lab: {outcome.reason}")
        if outcome.came is Came.BROKEN:
            pytest.fail(f"lab {self.settings.name} didn't come up: {outcome.reason}", pytrace=False)
        if self._lab is None:
            from lab.plugin.devices import Lab  # noqa: PLC0415
            from lab.plugin.session.leases import Leases  # noqa: PLC0415

            leases = Leases(self.port.state / "leases")
            with told_plainly():
                within = self.settings.lease_within
                self._lab = Lab(self.port, self.port.status(), leases, self.worker, within)
        return self._lab

    @contextlib.contextmanager
    def leased(self, item: pytest.Item) -> "Iterator[Device]":
        """Hold a device that can do what a test needs, for as long as the block lasts."""
        with contextlib.ExitStack() as held:
            with told_plainly():
                lease = self.lab().lease(*needs_of(item), test=item.nodeid)
                device = held.enter_context(lease)
            yield device

    def check_needs(self, needs: Iterable[str]) -> None:
        """Skip where no device of the lab can do what a test *needs*."""
        from lab.plugin import needs as capabilities  # noqa: PLC0415

        with told_plainly():
            wanted = capabilities.wanted(needs)
        status = self.lab().status
        if not capabilities.fitting(status, wanted):
            pytest.skip(capabilities.why_none(status, wanted))

    def evidence(self, test: str) -> tuple[tuple[str, str], ...]:
        """Return the sections for the report of a test that failed; it may raise nothing."""
        if self._lab is None:
            return ()
        from lab.plugin import evidence  # noqa: PLC0415

        self._attached += 1
        if self._attached > _MOST_EVIDENCE:
            return ((f"{evidence.PREFIX}no more evidence", f"{_MOST_EVIDENCE} tests have failed"),)
        try:
            return evidence.attach(self._lab, self.settings.directory, test)
        except (Exception, pytest.fail.Exception) as exc:  # pytest-timeout interrupts by the latter
            return ((f"{evidence.PREFIX}evidence", f"not to be had: {type(exc).__name__}: {exc}"),)

    def finish(self, *, failed: bool, tell: Callable[[str], None]) -> "Ending | None":
        """Take the lab down or leave it, at the end of the whole run; *tell* what takes time."""
        if not (self.settings.directory / "lab.json").exists():
            return None
        return self.shared.finish(failed=failed, tell=tell)


@contextlib.contextmanager
def told_plainly() -> Iterator[None]:
    """Fail a test by the words of an error of ours: where in the plugin it arose helps nobody."""
    from fleet import errors  # noqa: PLC0415
    from lab.plugin.session.shared_lab import told  # noqa: PLC0415

    try:
        yield
    except errors.FleetError as exc:
        raise pytest.fail.Exception(told(exc), pytrace=False) from None  # what it says is all


_RUN = pytest.StashKey[Run]()


def of(config: pytest.Config) -> Run:
    """Return the run of *config*; settings that make no sense are told when it is first asked."""
    if _RUN not in config.stash:
        config.stash[_RUN] = Run(config)
    return config.stash[_RUN]


def uses_lab(item: pytest.Item) -> bool:
    """Tell whether a test asks for a fixture of ours: a conftest may have others of those names."""
    return FIXTURE in getattr(item, "fixturenames", ())


def needs_of(item: pytest.Item) -> tuple[str, ...]:
    """Return what a test needs of its device, by its markers; it fails where they say more."""
    if unknown := [key for marker in item.iter_markers(MARKER) for key in marker.kwargs]:
        pytest.fail(f"needs: it takes capabilities, and no {unknown[0]}=", pytrace=False)
    return tuple(name for marker in item.iter_markers(MARKER) for name in marker.args)
