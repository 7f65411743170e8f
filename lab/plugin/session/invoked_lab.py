"""
The real lab, by the commands that a person types: ``invoke lab.…`` in Fleet's checkout.

A process each: whatever the lab imports, logs or warns of stays out of the test run.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab
from lab import errors
from lab.plugin.port import Answer, Status

ROOT = Path(lab.__file__).resolve().parents[1]
_UP_WITHIN = 3600  # a cold host builds the toolchain, and images of machines
_DOWN_WITHIN = 600
_WITHIN = 300
_FAILED = re.compile("^failed: ", re.MULTILINE)  # how the lab begins to say why
_LINES = 15


@dataclass(frozen=True, slots=True)
class InvokedLab:
    """`port.LabPort` of the lab *name*; no *topology*: the one it has, or the usual one."""

    name: str
    topology: str = ""

    @property
    def state(self) -> Path:
        """See `port.LabPort`."""
        from lab.host import labs  # noqa: PLC0415 - only a run that uses the lab pays for it

        return labs.state_of(self.name)

    @property
    def down_line(self) -> str:
        """See `port.LabPort`."""
        return f"{shlex.quote(str(ROOT / 'dev'))} invoke lab.down --name {self.name}"

    def up(self, log: Path) -> None:
        """See `port.LabPort`."""
        topology = ("--topology", self.topology) if self.topology else ()
        self._run_logged(log, "lab.up", *topology, within=_UP_WITHIN)

    def down(self, log: Path) -> None:
        """See `port.LabPort`."""
        self._run_logged(log, "lab.down", within=_DOWN_WITHIN)

    def status(self) -> Status:
        """See `port.LabPort`."""
        answer = _ask(self._command("lab.status", "--format", "json"), within=_WITHIN)
        if not answer.ok:
            raise _error("lab.status", answer.code, answer.err or answer.out)
        return dict(json.loads(answer.out))

    def misfits(self) -> tuple[str, ...]:
        """See `port.LabPort`."""
        answer = _ask(_invoke("lab.doctor", "--format", "json"), within=_WITHIN)
        try:
            found = json.loads(answer.out)
        except ValueError as exc:
            raise _error("lab.doctor", answer.code, answer.err or answer.out) from exc
        return tuple(_remedied(each) for each in found if each["verdict"] == "fails")

    def ask(self, device: str, argv: Sequence[str], *, within: float) -> Answer:
        """See `port.LabPort`."""
        return _ask((*self._command("lab.exec", device), "--", *argv), within=within)

    def _command(self, task: str, *arguments: str) -> tuple[str, ...]:
        return (*_invoke(task, *arguments), "--name", self.name)

    def _run_logged(self, log: Path, task: str, *arguments: str, within: float) -> None:
        with log.open("a") as file:
            before = file.tell()
            code = _follow(self._command(task, *arguments), file.fileno(), within)
        if code:
            raise _error(task, code, _said_since(log, before), log)


def _invoke(task: str, *arguments: str) -> tuple[str, ...]:
    if not (ROOT / "tasks.py").exists():
        message = f"the lab needs a checkout of Fleet, and {ROOT} is none"
        raise errors.PreflightFailed(message, hint="pip install --editable CHECKOUT[lab]")
    return (sys.executable, "-m", "invoke", "--search-root", str(ROOT), task, *arguments)


def _environment() -> dict[str, str]:
    """Return ours, but for what would make `lab.up` tell of its work instead of doing it."""
    own = {key: value for key, value in os.environ.items() if key != "LAB_DRY_RUN"}
    return {**own, "NO_COLOR": "1"}


def _ask(argv: Sequence[str], *, within: float) -> Answer:
    try:
        done = subprocess.run(
            argv, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=within, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise errors.WaitTimedOut(f"`{' '.join(argv)}` took over {within:g} s") from exc
    return Answer(done.returncode, done.stdout, done.stderr)


def _follow(argv: Sequence[str], out: int, within: float) -> int:
    try:
        return subprocess.run(
            argv, cwd=ROOT, env=_environment(), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            timeout=within, check=False,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired as exc:
        raise errors.WaitTimedOut(f"`{' '.join(argv)}` took over {within:g} s") from exc


def _said_since(log: Path, before: int) -> str:
    """Return what was added to *log* after its first *before* bytes."""
    return log.read_bytes()[before:].decode(errors="replace")


def _error(task: str, code: int, said: str, log: Path | None = None) -> errors.LabError:
    """Return what *task* said as an error: from where it says why, or its last words."""
    found = _FAILED.search(said)
    words = said[found.end() :] if found else "\n".join(said.splitlines()[-_LINES:])
    kind = errors.PreflightFailed if code == errors.PreflightFailed.exit_code else errors.LabError
    return kind(f"{task} ended with {code}: {words.strip()}", log=log)


def _remedied(finding: dict[str, Any]) -> str:
    remedy = f" ({finding['fix']})" if finding["fix"] else ""
    return f"{finding['subject']}: {finding['reason']}{remedy}"
