"""
A run as one HTML page that needs nothing else: no script, no other file. Decides only.

The page itself forbids the browser both, whatever a test calls itself or prints.
"""

import re
from collections.abc import Iterable
from html import escape
from pathlib import Path

from lab.timeline.chart import Axis, Bar, Failure, Group, Mark, Row, Run, spoken

_LEGEND = {
    Mark.IDLE: "nothing to do", Mark.DONE: "brought about",
    Mark.PASSED: "passed", Mark.SKIPPED: "skipped", Mark.FAILED: "failed",
}  # fmt: skip
_WHO = re.compile(r"\[gw\d+\] ")  # pytest-xdist's line above the words of a worker
_COLOURS = re.compile("\x1b\\[[0-9;]*m")
_STYLE = (Path(__file__).parent / "page.css").read_text()
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title} <span class="verdict {mood}">{verdict}</span></h1>
<dl>{facts}</dl>
</header>
{failing}
<section>
<h2>Timeline</h2>
<p class="legend">{legend}</p>
<div class="chart">
{groups}
</div>
</section>
{failures}
<section>
<details>
<summary>All {count}, the longest first</summary>
<table>
<thead><tr><th>where</th><th>what</th><th class="number">began</th><th class="number">took</th>
<th>came out</th></tr></thead>
<tbody>
{table}
</tbody>
</table>
</details>
</section>
</body>
</html>
"""


def render(run: Run) -> str:
    """Return the page."""
    axis = Axis.of(run.groups)
    bars = [(row, bar) for group in run.groups for row in group.rows for bar in row.bars]
    longest = sorted(bars, key=lambda each: -each[1].seconds)
    return _PAGE.format(
        title=escape(run.title),
        style=_STYLE,
        mood="failed" if run.failed else "passed",
        verdict=escape(run.verdict),
        facts="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in run.facts),
        legend=" ".join(f'<span><i class="{k}"></i>{v}</span>' for k, v in _LEGEND.items()),
        failing=_failing(run.failures),
        groups="\n".join(_group(group, axis) for group in run.groups),
        failures=_failures(run.failures),
        count=len(bars),
        table="\n".join(_line(row, bar, axis) for row, bar in longest),
    )


def anchor(number: int) -> str:
    """Return the name of the place of failure number *number*, from 1."""
    return f"failure-{number}"


def _group(group: Group, axis: Axis) -> str:
    ticks = "".join(f'<span style="left:{at}%">{words}</span>' for at, words in axis.ticks())
    rows = "\n".join(_row(row, axis) for row in group.rows)
    head = f'<div class="axis"><b>{escape(group.title)}</b><div class="track">{ticks}</div></div>'
    return f"{head}\n{rows}"


def _row(row: Row, axis: Axis) -> str:
    lines = "".join(f'<u style="left:{at}%"></u>' for at, _ in axis.ticks())
    bars = "".join(_bar(bar, axis) for bar in row.bars)
    label = escape(row.label)
    return (
        f'<div class="row"><b title="{label}">{label}</b>'
        f'<div class="track">{lines}{bars}</div></div>'
    )


def _bar(bar: Bar, axis: Axis) -> str:
    left, width = axis.place(bar)
    about = "\n".join(filter(None, (bar.label, spoken(bar.seconds), bar.about)))
    href = f' href="#{escape(bar.link)}"' if bar.link else ""
    return (
        f'<a class="{bar.mark}"{href} style="left:{left}%;width:{width}%" '
        f'title="{escape(about)}">{escape(bar.short or bar.label)}</a>'
    )


def _failing(failures: Iterable[Failure]) -> str:
    items = "".join(
        f'<li><a href="#{anchor(number)}">{escape(failure.title)}</a> '
        f"<span>{escape(_why(failure.why))}</span></li>"
        for number, failure in enumerate(failures, start=1)
    )
    return f'<section><h2>What failed</h2><ol class="failing">{items}</ol></section>' * bool(items)


def _failures(failures: Iterable[Failure]) -> str:
    return "\n".join(_failure(number, failure) for number, failure in enumerate(failures, start=1))


def _failure(number: int, failure: Failure) -> str:
    excerpts = "\n".join(
        f"<details><summary>{escape(title)}</summary><pre>{_printed(text)}</pre></details>"
        for title, text in failure.excerpts
    )
    return (
        f'<section class="failure" id="{anchor(number)}"><h2>{escape(failure.title)}</h2>'
        f"<p>{escape(failure.about)}</p><pre>{_printed(failure.why)}</pre>\n{excerpts}</section>"
    )


def _line(row: Row, bar: Bar, axis: Axis) -> str:
    cells = f"<td>{escape(row.label)}</td><td>{escape(bar.label)}</td>"
    began = spoken(bar.begun - axis.begun)
    return (
        f'<tr>{cells}<td class="number">{began}</td><td class="number">{spoken(bar.seconds)}</td>'
        f'<td class="{bar.mark}">{bar.mark}</td></tr>'
    )


def _printed(text: str) -> str:
    """Return what a terminal would show, without its colours."""
    return escape(_COLOURS.sub("", text))


def _why(text: str) -> str:
    """Return the line of a report that says why: pytest's own begin with ``E``."""
    lines = [line for line in text.splitlines() if line.strip() and not _WHO.match(line)]
    said = [line[1:].strip() for line in lines if line.startswith("E ")]
    return (said or lines or [""])[0]
