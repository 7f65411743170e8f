"""What a benchmark leaves that is killed: the next one ends it, and nothing else."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.bench import sites
from lab.host import processes
from lab.host.ledger import Kind, Ledger
from lab.system import locks, procfs
from lab.system.procfs import Identity

# A benchmark whose control plane is one process. It says where it lies, and lives until its input
# ends; or, told so, it is killed before it wrote down what it had just started.
BENCHMARK = """
import os, sys
from pathlib import Path
from lab.bench import sites
from lab.host import processes
from lab.host.lab_host import Addresses, LabHost
from lab.host.ledger import Kind
with sites.directory(Path(sys.argv[1])) as path:
    host = LabHost("bench", path, Addresses(255))
    if sys.argv[2:]:
        host.ledger.intend(Kind.PROCESS, "part", nonce="n0nce", digest="", log_begins=0)
        env = {**processes.minimal_environment(), processes.NONCE: "n0nce"}
        processes.spawn(("sleep", "600"), env, host.log("part"))
        print("it lies in", path, flush=True)
    else:
        part = processes.ProcessScore(part="part", argv=("sleep", "600"), ready=lambda: "")
        part.interpret(host).expect()
        print("it lies in", path, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def benchmark(above: Path, *more: str) -> Iterator[tuple["subprocess.Popen[str]", Path]]:
    """Run a benchmark, and give the directory of its control plane, which runs by now."""
    argv = (sys.executable, "-c", BENCHMARK, str(above), *more)
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout
            lies = next(line for line in process.stdout if line.startswith("it lies in "))
            yield process, Path(lies.removeprefix("it lies in ").strip())
        finally:
            process.kill()
            process.wait()
            for path in above.glob("*/ledger.jsonl"):  # whatever the test found
                for entry in Ledger(path).of(Kind.PROCESS):
                    processes.stop(entry)


def part(path: Path) -> Identity:
    """Find the process of a control plane."""
    entry = Ledger(path / "ledger.jsonl").find(Kind.PROCESS, "part")
    assert entry is not None
    who = processes.identity_of(entry)
    assert who is not None
    return who


@pytest.mark.parametrize("more", [(), ("before it is noted",)])
def test_what_a_killed_benchmark_left_is_ended(tmp_path: Path, more: tuple[str, ...]):
    told = list[str]()
    with benchmark(tmp_path, *more) as (process, path):
        who = part(path)
        process.kill()
        process.wait()
        assert procfs.is_alive(who)

        sites.end_dead(told.append, tmp_path, dry_run=True)
        assert procfs.is_alive(who)
        assert str(path) in told[0]

        sites.end_dead(told.append, tmp_path)
        assert not procfs.is_alive(who)
    assert not list(tmp_path.iterdir())
    sites.end_dead(told.append, tmp_path)
    assert len(told) == 2


def test_a_benchmark_that_lives_keeps_what_it_has_and_ends_it_itself(tmp_path: Path):
    told = list[str]()
    with benchmark(tmp_path) as (process, path):
        who = part(path)
        sites.end_dead(told.append, tmp_path)
        assert procfs.is_alive(who)
        assert path.is_dir()

        assert process.stdin
        process.stdin.close()
        assert process.wait() == 0
        assert not procfs.is_alive(who)
    assert not told
    assert not list(tmp_path.iterdir())


# A benchmark whose measuring ends at once, and lab.gc.
NEXT_BENCHMARK = "import sys; from lab.tasks import bench; bench._run('x', 'x', sys.exit, '')"
GC = "from invoke.context import Context; from lab.tasks import lab; lab.collect(Context())"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("program", [NEXT_BENCHMARK, GC], ids=["the next benchmark", "lab.gc"])
def test_the_next_command_ends_what_a_killed_benchmark_left(tmp_path: Path, program: str):
    if program is GC and os.geteuid() != 0:
        pytest.skip("lab.gc needs root")
    places = {"TMPDIR": str(tmp_path), "HARMONY_DATA_DIR": str(tmp_path / "data")}
    with benchmark(tmp_path) as (process, path):
        who = part(path)
        process.kill()
        process.wait()
        done = subprocess.run(
            (sys.executable, "-c", program),
            env={**os.environ, **places},
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(path) in done.stderr.replace("\n", "")
        assert not procfs.is_alive(who)


@pytest.fixture
def bystander() -> Iterator[Identity]:
    """A process that no benchmark started."""
    with subprocess.Popen(("sleep", "600")) as process:
        who = procfs.identify(process.pid)
        assert who is not None
        yield who
        process.kill()


def left(above: Path, who: Identity) -> Path:
    """Have the directory of a dead benchmark, in whose ledger *who* is."""
    path = above / f"{sites.PREFIX}x"
    path.mkdir()
    locks.file_of(path).touch()
    ledger = Ledger(path / "ledger.jsonl")
    ledger.intend(Kind.PROCESS, "part", pid=who.pid, start=who.start, boot=who.boot)
    return path


@pytest.mark.parametrize(
    "other",
    [
        lambda who: Identity(who.pid, who.start - 1, who.boot),
        lambda who: Identity(who.pid, who.start, "another boot"),
    ],
    ids=["another start", "another boot"],
)
def test_whoever_has_the_pid_by_now_is_left_alone(
    tmp_path: Path, bystander: Identity, other: Callable[[Identity], Identity]
):
    left(tmp_path, other(bystander))
    sites.end_dead(lambda _: None, tmp_path)
    assert procfs.is_alive(bystander)
    assert not list(tmp_path.iterdir())


def _no_lock(path: Path) -> None:
    locks.discard(path)


def _anothers_directory(path: Path) -> None:
    os.chown(path, 65534, 65534)


def _anothers_lock(path: Path) -> None:
    os.chown(locks.file_of(path), 65534, 65534)


def _link(path: Path) -> None:
    elsewhere = path.rename(path.with_name("elsewhere"))
    path.symlink_to(elsewhere)


@pytest.mark.parametrize("change", [_no_lock, _anothers_directory, _anothers_lock, _link])
def test_what_may_be_somebody_elses_is_left_alone(
    tmp_path: Path, bystander: Identity, change: Callable[[Path], None]
):
    if os.geteuid() != 0 and change in {_anothers_directory, _anothers_lock}:
        pytest.skip("only root gives files away")
    path = left(tmp_path, bystander)
    change(path)
    sites.end_dead(lambda _: None, tmp_path)
    assert procfs.is_alive(bystander)
    assert path.exists()


def test_what_cannot_be_ended_is_told_and_stays(tmp_path: Path, bystander: Identity):
    path = left(tmp_path, bystander)
    Ledger(path / "ledger.jsonl").intend(Kind.MOUNT, "/elsewhere")  # as a later version might
    other = tmp_path / f"{sites.PREFIX}y"
    other.mkdir()
    locks.file_of(other).touch()
    told = list[str]()
    sites.end_dead(told.append, tmp_path)
    assert not procfs.is_alive(bystander)
    assert any("/elsewhere" in line for line in told)
    assert path.is_dir()
    assert not other.exists()


def test_a_lock_without_a_directory_is_nothing_to_tell_of(tmp_path: Path):
    locks.file_of(tmp_path / f"{sites.PREFIX}x").touch()
    told = list[str]()
    sites.end_dead(told.append, tmp_path)
    assert not told
    assert not list(tmp_path.iterdir())
