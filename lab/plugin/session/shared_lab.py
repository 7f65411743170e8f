"""
One lab for all processes of a run, and for other runs beside it.

The first process that asks brings the lab up; what came of that is written down, and everybody else
reads it: a lab that failed to come up is never tried again, and fails every test at once with the
first reason. Who uses the lab holds a shared lock of it until it ends, however it ends
(`lab.system.locks.Use`); a run takes the lab down only when nobody else does.

A lab that a run made is marked so in its state directory, until somebody asks to keep it. So one
that a killed run left behind is no lab that "was up before": the next run takes it down.
"""

import enum
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fleet import errors
from lab.errors import LabBusy, PreflightFailed, TopologyInvalid
from lab.plugin.port import LabPort
from lab.plugin.session.retention import Fate, fate
from lab.plugin.settings import Settings
from lab.system import locks

_PATIENCE = 3700  # for another process of the run, which brings the lab up
_MARK = "made-by-a-test-run"
_NEVER_UP = "was never brought up"


class Came(enum.StrEnum):
    """What came of bringing the lab up."""

    UP = "up"
    BROKEN = "broken"
    UNFIT = "unfit"
    """the host can't carry a lab: tests are skipped"""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the lab came up for this run: between *begun* and *ended*, by the clock of day."""

    came: Came
    reason: str = ""
    was_up: bool = False
    tried: bool = False
    """`lab.up` was begun"""
    begun: float = 0.0
    ended: float = 0.0


@dataclass(frozen=True, slots=True)
class Ending:
    """What became of the lab at the end of the run, in words too; *fate* None: it can't tell."""

    words: str
    fate: Fate | None
    begun: float
    ended: float


class SharedLab:
    """The lab of one run, as one process of the run sees it."""

    def __init__(self, settings: Settings, port: LabPort) -> None:
        self._settings = settings
        self._port = port
        self._use: locks.Use | None = None
        self._outcome: Outcome | None = None

    @property
    def log(self) -> Path:
        """Return what `lab.up` and `lab.down` said."""
        return self._settings.directory / "lab.log"

    def attach(self) -> Outcome:
        """Return what came of bringing the lab up, which the first to ask does; never raises."""
        if self._outcome is None:
            try:
                self._outcome = self._attached()
            except (errors.FleetError, OSError) as exc:
                self._outcome = Outcome(came=Came.BROKEN, reason=told(exc))
        return self._outcome

    def outcome(self) -> Outcome | None:
        """Return what came of bringing the lab up; None when nobody asked for it."""
        try:
            return msgspec.json.decode(self._book.read_bytes(), type=Outcome)
        except FileNotFoundError:
            return None

    def finish(self, *, failed: bool, tell: Callable[[str], None]) -> Ending | None:
        """
        Take the lab down, or leave it; None when nobody asked for it. Call it once per run.

        A person is to *tell* that it is being taken down: that takes a while.
        """
        outcome, begun = self.outcome(), time.time()
        if outcome is None:
            return None
        chosen, words = self._end(outcome, tell, failed=failed)
        if chosen is Fate.NEVER_UP and outcome.came is Came.UNFIT:
            words += (
                f": {outcome.reason}"  # every test was skipped: who looks, if the end is silent?
            )
        if self._use is not None:
            self._use.end()
        return Ending(f"lab {self._settings.name} {words}", chosen, begun, time.time())

    @property
    def _book(self) -> Path:
        return self._settings.directory / "lab.json"

    def _attached(self) -> Outcome:
        try:
            self._settings.directory.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise TopologyInvalid(f"--lab-log-dir: {exc}") from exc
        with locks.held(self._book, {}, within=_PATIENCE, busy=self._busy):
            outcome = self.outcome() or self._bring_up()
            if outcome.came is Came.UP:
                self._join()
            return outcome

    def _busy(self) -> LabBusy:
        pid = locks.holder(self._book).get("pid", "?")
        name = self._settings.name
        return LabBusy(f"lab {name} is being brought up by another worker (pid {pid})")

    def _bring_up(self) -> Outcome:
        begun, was_up, tried = time.time(), False, False
        reason = f"pid {os.getpid()} was bringing it up, and ended in the middle"
        try:
            self._refuse_nonsense()
            self._join()
            was_up, tried = self._was_up(), True
            self._write(
                Outcome(came=Came.BROKEN, reason=reason, was_up=was_up, tried=tried, begun=begun)
            )
            if not was_up:
                self._mark.touch()
            self._port.up(self.log)
        except (errors.FleetError, OSError) as exc:
            came, reason = self._judge(exc)
        else:
            came, reason = Came.UP, ""
        found = Outcome(
            came=came, reason=reason, was_up=was_up, tried=tried, begun=begun, ended=time.time()
        )
        self._write(found)
        return found

    def _refuse_nonsense(self) -> None:
        if self._settings.wrong:
            raise TopologyInvalid(self._settings.wrong)

    def _was_up(self) -> bool:
        """Tell whether the lab is there, and none that a run made and nobody asked to keep."""
        return self._port.status()["topology"] is not None and not self._mark.exists()

    def _judge(self, exc: Exception) -> tuple[Came, str]:
        """Tell a lab that is broken from a host that can't carry one; add the doctor's reasons."""
        if not isinstance(exc, PreflightFailed):
            return Came.BROKEN, told(exc)
        try:
            misfits = self._port.misfits()
        except errors.FleetError as why:
            misfits = (told(why),)
        return Came.UNFIT, "; ".join((*map(str.strip, told(exc).splitlines()), *misfits))

    def _end(
        self, outcome: Outcome, tell: Callable[[str], None], *, failed: bool
    ) -> tuple[Fate | None, str]:
        keep, is_unfit = self._settings.keep, outcome.came is Came.UNFIT
        if not outcome.tried:
            return Fate.NEVER_UP, _NEVER_UP
        wanted = fate(keep, failed=failed, was_up=outcome.was_up, is_unfit=is_unfit)
        if wanted is Fate.LEFT_UP:
            down = f"to take it down: {self._port.down_line}"
            if outcome.was_up:
                return Fate.LEFT_UP, f"stays up, as it was\n{down}"
            self._mark.unlink(missing_ok=True)
            return Fate.LEFT_UP, f"stays up: --lab-keep={keep}\n{down}"
        try:
            return self._take_down(tell, is_unfit=is_unfit)
        except (errors.FleetError, OSError) as exc:
            if is_unfit and isinstance(exc, PreflightFailed):
                return Fate.NEVER_UP, _NEVER_UP  # what it refused to make, it refuses to look for
            return None, f"could not be taken down: {told(exc)}"

    def _take_down(self, tell: Callable[[str], None], *, is_unfit: bool) -> tuple[Fate, str]:
        if not self._join().is_last():
            return Fate.LEFT_UP, "stays up: another test run uses it"
        if not self._mark.exists():
            return Fate.LEFT_UP, "stays up: another test run was asked to keep it"
        if not is_unfit:
            tell(f"lab {self._settings.name} is being taken down")
        self._port.down(self.log)
        self._mark.unlink(missing_ok=True)  # `lab.down` leaves it where there was no lab
        return (Fate.NEVER_UP, _NEVER_UP) if is_unfit else (Fate.TAKEN_DOWN, "is taken down")

    @property
    def _mark(self) -> Path:
        return self._port.state / _MARK

    def _join(self) -> locks.Use:
        """Be one of those who use the lab, until the run is finished or this process ends."""
        if self._use is None:
            state = self._port.state
            (state / "logs").mkdir(parents=True, exist_ok=True)  # they outlive the lab
            self._use = locks.Use(state)
            self._use.begin()
        return self._use

    def _write(self, outcome: Outcome) -> None:
        draft = self._book.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(outcome))
        draft.replace(self._book)


def told(exc: Exception) -> str:
    """Say what went wrong, where to look and what to do."""
    log, hint = getattr(exc, "log", None), getattr(exc, "hint", "")
    parts = [str(exc), *([f"log: {log}"] if log else []), *([f"hint: {hint}"] if hint else [])]
    return "\n".join(parts)
