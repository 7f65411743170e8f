"""A lab's host without a bridge: its parts listen on loopback, at ports of their own."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet.scores.score import Change, Score, interpret_all
from lab.host import labs, processes
from lab.host.lab_host import Addresses, LabHost
from lab.host.ledger import Kind
from lab.lifecycle import take_down

LOOPBACK = "127.0.0.1"
_NUMBER = 255  # no lab's bridge: nothing here looks at it
_PORTS = ("kube-apiserver", "nats-server", "registry", "operator-health", "operator-metrics")


@contextmanager
def lab_host(state: Path) -> Iterator[LabHost]:
    """Yield a host whose state is *state*, and stop what was started on it."""
    host = LabHost("test", state, Addresses(_NUMBER))
    for purpose in _PORTS:
        host.port(purpose)  # a free one, where a lab would rather have the well-known one
    try:
        yield host
    finally:
        for entry in reversed(host.ledger.of(Kind.PROCESS)):
            processes.stop(entry)
            host.ledger.forget(entry.kind, entry.name)


@contextmanager
def whole_lab(data: Path) -> Iterator[LabHost]:
    """Yield the host of a lab with addresses and no parts, in *data*; nothing of it is left."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HARMONY_DATA_DIR", str(data))
        host = labs.ensure("test", "smoke").host
        try:
            yield host
        finally:
            left = take_down.undo_all(labs.trace("test"), lambda _: None)
        assert left == ()


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is missing, and say which."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not on the PATH: {', '.join(missing)}")


def bring_about(scores: tuple[Score[LabHost], ...], host: LabHost) -> list[str]:
    """Interpret *scores*, raise the first failure, and return the names of those that changed."""
    outcomes = interpret_all(scores, host)
    return [outcome.expect().score for outcome in outcomes if outcome.change is Change.CHANGED]


def kill(host: LabHost, part: str) -> int:
    """End *part* as a power cut would, and return the pid that it had."""
    pid = running(host, part)
    os.kill(pid, signal.SIGKILL)
    return pid


def running(host: LabHost, part: str) -> int:
    """Return the pid of *part*, which runs."""
    pid = processes.pid_of(host.ledger, part)
    assert pid is not None, f"{part} does not run"
    return pid


def mode(path: Path) -> int:
    """Tell who may do what with *path*."""
    return path.stat().st_mode & 0o777
