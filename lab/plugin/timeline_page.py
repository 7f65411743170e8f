"""Puts a run onto the timeline's page: the lab's stages node by node, then the tests by worker."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from pathlib import Path

from fleet.scores.score import Change
from lab.plugin.evidence import PREFIX
from lab.plugin.results import Result, Results
from lab.plugin.session.retention import Fate
from lab.plugin.session.runs import Run
from lab.plugin.session.shared_lab import Came, Ending, Outcome
from lab.timeline import chart, events, page
from lab.timeline.chart import Bar, Failure, Group, Mark, Row
from lab.timeline.events import Event

NAME = "timeline.html"
_MARKS = {
    "passed": Mark.PASSED, "xfailed": Mark.PASSED, "skipped": Mark.SKIPPED,
    "xpassed": Mark.PASSED, "failed": Mark.FAILED, "error": Mark.FAILED,
}  # fmt: skip
_CHANGES = {
    Change.UNCHANGED: Mark.IDLE, Change.CHANGED: Mark.DONE, Change.FAILED: Mark.FAILED
}  # fmt: skip
_HERE = "lab"  # the row of what belongs to no device


def write(run: Run, ending: Ending, results: Results) -> Path:
    """Write the page into the run's directory, and return where it is."""
    outcome = run.shared.outcome() or Outcome(came=Came.BROKEN)
    seen = _seen(run, outcome)
    told = chart.Run(
        title=f"Lab {run.settings.name}",
        verdict=_verdict(outcome, results),
        failed=outcome.came is Came.BROKEN or any(map(_failed, results.tests.values())),
        facts=_facts(run, outcome, ending, results),
        groups=(_of_lab(outcome, ending, seen), _of_tests(outcome, results)),
        failures=tuple(_failures(outcome, results, run.shared.log)),
    )
    path = run.settings.directory / NAME
    path.write_text(page.render(told), encoding="utf-8", errors="replace")
    return path


def _seen(run: Run, outcome: Outcome) -> tuple[Event, ...]:
    if not outcome.tried:
        return ()
    return events.since(run.port.state / "logs" / events.NAME, outcome.begun)


def _failed(result: Result) -> bool:
    return _MARKS[result.outcome] is Mark.FAILED


def _failing(results: Results) -> list[Result]:
    return [result for result in results.tests.values() if _failed(result)]


def _verdict(outcome: Outcome, results: Results) -> str:
    if outcome.came is Came.BROKEN:
        return "the lab didn't come up"
    outcomes = sorted(result.outcome for result in results.tests.values())
    return ", ".join(f"{len(list(same))} {name}" for name, same in groupby(outcomes)) or "no tests"


def _facts(
    run: Run, outcome: Outcome, ending: Ending, results: Results
) -> tuple[tuple[str, str], ...]:
    began = datetime.fromtimestamp(results.begun).astimezone()
    before = " (it was up before)" if outcome.was_up else ""
    came = "came up in" if outcome.came is Came.UP else "didn't come up, after"
    return (
        ("began", f"{began:%Y-%m-%d %H:%M:%S %Z}"),
        ("took", chart.spoken(ending.ended - results.begun)),
        ("topology", run.settings.topology or "as it was, or the usual one"),
        ("the lab", f"{came} {chart.spoken(outcome.ended - outcome.begun)}{before}"),
        ("in the end", ending.words.partition("\n")[0]),
        ("files", str(run.settings.directory)),
    )


def _of_lab(outcome: Outcome, ending: Ending, seen: Sequence[Event]) -> Group:
    came = Mark.FAILED if outcome.came is not Came.UP else Mark.DONE
    link = page.anchor(1) if outcome.came is not Came.UP else ""
    up = Bar("lab.up", outcome.begun, max(outcome.ended, outcome.begun), came, outcome.reason, link)
    ended = Mark.FAILED if ending.fate is None else Mark.DONE
    down = Bar("lab.down", ending.begun, ending.ended, ended, ending.words)
    commands = (up, down) if ending.fate in {None, Fate.TAKEN_DOWN} else (up,)
    lanes = sorted({event.lane for event in seen})
    rows = [Row("commands", commands), Row("stages", tuple(_stages(seen)))]
    rows += [Row(lane or _HERE, tuple(_scores(seen, lane))) for lane in lanes]
    return Group("Lab", tuple(row for row in rows if row.bars))


def _stages(seen: Sequence[Event]) -> Iterable[Bar]:
    for stage, found in groupby(seen, key=lambda event: event.stage):
        own = list(found)
        mark = max((_CHANGES[Change(each.change)] for each in own), key=list(Mark).index)
        yield Bar(
            stage, min(each.begun for each in own), max(each.at for each in own), mark,
            f"{len(own)} scores",
        )  # fmt: skip


def _scores(seen: Sequence[Event], lane: str) -> Iterable[Bar]:
    for each in seen:
        if each.lane == lane:
            mark = _CHANGES[Change(each.change)]
            yield Bar(each.score, each.begun, each.at, mark, f"{each.stage}; {each.why}"[:500])


def _of_tests(outcome: Outcome, results: Results) -> Group:
    first = 1 if outcome.came is Came.UP else 2
    numbers = {result.test: n for n, result in enumerate(_failing(results), start=first)}
    workers = sorted({result.worker for result in results.tests.values()})
    return Group(
        "Tests",
        tuple(Row(worker, tuple(_tests(results, worker, numbers))) for worker in workers),
    )


def _tests(results: Results, worker: str, numbers: dict[str, int]) -> Iterable[Bar]:
    for each in results.tests.values():
        if each.worker == worker:
            link = page.anchor(numbers[each.test]) if each.test in numbers else ""
            about = f"{each.outcome}\n{_reason(each)}".rstrip()
            mark, short = _MARKS[each.outcome], _short(each.test)
            yield Bar(each.test, each.begun, each.ended, mark, about, link, short)


def _short(test: str) -> str:
    """Return what tells a test from its neighbours: all begin with their file, and ``test_``."""
    path, _, parameters = test.partition("[")
    return path.rpartition("::")[2].removeprefix("test_") + (f"[{parameters}" if parameters else "")


def _reason(result: Result) -> str:
    """Say why a test was skipped: its report has the place, the line and the reason."""
    return result.why[:500] if result.outcome == "skipped" else ""


def _failures(outcome: Outcome, results: Results, log: Path) -> Iterable[Failure]:
    """Yield the lab first: where it didn't come up, that is why tests failed."""
    if outcome.came is not Came.UP:
        said = log.read_text(errors="replace") if log.exists() else ""
        last = "\n".join(said.splitlines()[-200:])
        yield Failure("lab.up", outcome.reason, ((str(log), last),))
    for each in _failing(results):
        excerpts = tuple((title.removeprefix(PREFIX), text) for title, text in each.sections)
        about = f"{each.outcome} on {each.worker}, after {chart.spoken(each.ended - each.begun)}"
        yield Failure(each.test, each.why, excerpts, about)
