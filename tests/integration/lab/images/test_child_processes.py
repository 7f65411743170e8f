"""A build that is killed leaves nothing that runs, and nothing that the kernel was told."""

import contextlib
import fcntl
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest

from fleet.scores.linux.architecture import Arch
from lab.images.cloud.child_processes import contained, dying_with_us
from lab.system.waiting import wait_for
from tests.lab_host import needs

OTHER = Arch.AARCH64 if platform.machine() == Arch.X86_64 else Arch.X86_64
OURS = f"fleet-qemu-{OTHER}"
BUILDER = "import sys; from lab.system import commands; commands.run(*sys.argv[1:], within=600)"
# Starts another in a session of its own, as daemons do, and has it hold FIFO's end.
DETACHED = """
import os, subprocess, sys
held = os.open(sys.argv[1], os.O_WRONLY)
subprocess.Popen(["sleep", "600"], start_new_session=True, pass_fds=(held,))
subprocess.run(["sleep", "600"])
"""

Wrap: TypeAlias = Callable[[Sequence[str]], tuple[str, ...]]

pytestmark = [
    needs("setpriv", "unshare"),
    pytest.mark.skipif(os.geteuid() != 0, reason="namespaces and binfmt_misc need root"),
]


@contextlib.contextmanager
def builder(command: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs *command* as a build does."""
    with subprocess.Popen([sys.executable, "-c", BUILDER, *command]) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("wrap", [contained, dying_with_us])
def test_a_command_ends_when_who_runs_it_is_killed(wrap: Wrap, tmp_path: Path):
    fifo = tmp_path / "held"
    os.mkfifo(fifo)
    program = f"import os, time; os.open({str(fifo)!r}, os.O_WRONLY); time.sleep(600)"

    with builder(wrap((sys.executable, "-c", program))) as process, fifo.open("rb") as end:
        process.kill()

        assert end.read() == b""  # returns once nobody holds the other end any more


def test_what_a_command_started_ends_with_it(tmp_path: Path):
    fifo = tmp_path / "held"
    os.mkfifo(fifo)

    command = contained((sys.executable, "-c", DETACHED, str(fifo)))
    with builder(command) as process, fifo.open("rb") as end:
        process.kill()

        assert end.read() == b""


@needs(f"qemu-{OTHER}-static")
def test_what_a_killed_build_told_the_kernel_is_taken_back_by_the_next(table: Path):
    emulating = (sys.executable, "-m", "lab.images.cloud.emulation", OTHER)
    with builder(contained((*emulating, "sleep", "600"))) as process:

        def told() -> str:
            return "" if (table / OURS).exists() else f"there is no {OURS}"

        wait_for("the kernel is told", told, within=30, every=0.05)
        process.send_signal(signal.SIGKILL)
    assert (table / OURS).exists()

    subprocess.run(contained((*emulating, "true")), check=True, timeout=60)

    assert not (table / OURS).exists()


@needs(f"qemu-{OTHER}-static")
def test_two_builds_tell_the_kernel_one_after_the_other(table: Path):
    emulating = (sys.executable, "-m", "lab.images.cloud.emulation", OTHER)
    with builder(contained((*emulating, "sleep", "600"))) as process:

        def held() -> str:
            return "" if (table / OURS).exists() and is_building(table) else "nobody holds it"

        wait_for("the first holds the table", held, within=30, every=0.05)
        process.send_signal(signal.SIGKILL)

        def free() -> str:
            return "somebody holds it" if is_building(table) else ""

        wait_for("the table is free", free, within=30, every=0.05)
    subprocess.run(contained((*emulating, "true")), check=True, timeout=60)


def is_building(table: Path) -> bool:
    """Tell whether somebody holds the table of what the kernel can run, wherever it is mounted."""
    with (table / "status").open() as status:
        try:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Path]:
    """What the kernel was told: seen from here, so that it lasts when a build's own mounts go."""
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", str(tmp_path)], check=True)
    try:
        if is_building(tmp_path):
            pytest.skip("an image for another architecture is being built on this host")
        if (tmp_path / f"qemu-{OTHER}").exists():
            pytest.skip(f"this host runs programs of {OTHER} anyway")
        yield tmp_path
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
