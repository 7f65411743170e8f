"""`lab.system.locks`: one holder, also among processes; a lock ends with it, however it ends."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabBusy
from lab.system import locks
from lab.system.waiting import wait_for

# Takes a lock in the way that it is told, says so, and ends when it is told to.
HOLDS = """
import os, sys
from pathlib import Path
from lab.system import locks
thing = Path(sys.argv[2])
match sys.argv[1]:
    case "take":
        held = locks.take(thing, {"name": "other"})
    case "use":
        held = locks.Use(thing)
        held.begin()
    case name:
        held = locks.of_host() if name == "host" else locks.beside(thing)
        held.__enter__()
if sys.argv[3:] and os.fork():
    os._exit(0)
print("it is held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def thing(tmp_path: Path) -> Path:
    """What is locked: a directory."""
    path = tmp_path / "thing"
    path.mkdir()
    return path


@contextlib.contextmanager
def other(how: str, thing: Path, *more: str) -> "Iterator[subprocess.Popen[str]]":
    """Another process, of another data directory, that holds a lock by now."""
    argv = (sys.executable, "-c", HOLDS, how, str(thing), *more)
    env = {**os.environ, "HARMONY_DATA_DIR": str(thing.parent / "elsewhere")}
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "it is held\n"
            yield process
        finally:
            process.kill()


def busy() -> LabBusy:
    return LabBusy("somebody holds it")


@pytest.mark.parametrize("how", ["take", "beside"])
def test_a_lock_is_one_process_and_ends_with_it_when_it_is_killed(how: str, thing: Path):
    with other(how, thing) as process:
        assert locks.take(thing) is None
        assert locks.is_held(thing)
        process.kill()
        process.wait()

        assert not locks.is_held(thing)
        with locks.held(thing, {}, within=0, busy=busy):
            assert locks.take(thing) is None  # nor is it anybody else's of this process


def test_a_lock_ends_with_its_holder_though_a_child_of_it_lives_on(thing: Path):
    with other("take", thing, "forks") as process:
        assert process.wait() == 0

        assert not locks.is_held(thing)


def test_the_lock_of_the_host_is_one_for_all_data_directories_and_says_who_holds_it(thing: Path):
    with (
        other("host", thing) as process,
        pytest.raises(LabBusy, match=rf"pid {process.pid}, /run/lock/fleet-lab\.lock"),
        locks.of_host(within=0),
    ):
        pass


def test_anybody_may_take_the_lock_of_the_host_whoever_made_its_file():
    with locks.of_host():
        assert Path("/run/lock/fleet-lab.lock").stat().st_mode & 0o777 == 0o666


def test_who_holds_a_lock_stands_in_it_and_the_next_one_takes_its_place(thing: Path):
    with other("take", thing) as process:
        assert locks.holder(thing) == {"pid": process.pid, "name": "other"}

    with locks.held(thing, {"n": 1}, within=0, busy=busy):
        assert locks.holder(thing) == {"pid": os.getpid(), "n": 1}


def test_who_waits_is_told_for_whom_and_gives_up_in_time(thing: Path):
    told = list[str]()
    with (
        other("take", thing),
        pytest.raises(LabBusy, match="somebody holds it"),
        locks.held(thing, {}, within=0.1, busy=busy, saw=told.append),
    ):
        pass

    assert set(told) == {"waiting: somebody holds it"}


def test_a_thing_that_is_deleted_is_still_locked(thing: Path):
    with locks.held(thing, {}, within=0, busy=busy):
        shutil.rmtree(thing)

        assert locks.take(thing) is None


def test_one_process_alone_holds_the_lock_of_a_thing_whose_lock_was_deleted_meanwhile(thing: Path):
    lock = locks.take(thing)
    assert lock is not None
    with waiting_for(thing) as waiter:
        locks.discard(thing)
        lock.close()
        assert waiter.stdout
        assert waiter.stdout.readline() == "held\n"

        assert locks.take(thing) is None
        assert locks.holder(thing)["pid"] == waiter.pid


@contextlib.contextmanager
def waiting_for(thing: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process that waits for *thing* by now, with the file of its lock open or not."""
    program = (
        "import sys; from pathlib import Path; from lab.errors import LabBusy\n"
        "from lab.system import locks\n"
        "with locks.held(Path(sys.argv[1]), {}, within=60, busy=lambda: LabBusy('x'),\n"
        "                saw=lambda what: print(what, flush=True)):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        (sys.executable, "-c", program, str(thing)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout
            assert process.stdout.readline() == "waiting: x\n"
            yield process
        finally:
            process.kill()


def test_a_file_that_was_left_behind_locks_nothing(thing: Path):
    locks.file_of(thing).write_text('{"pid": 1}')

    with locks.held(thing, {}, within=0, busy=busy):
        pass


def test_looking_whether_a_thing_is_locked_makes_no_file(thing: Path):
    assert not locks.is_held(thing)

    assert list(thing.parent.iterdir()) == [thing]


def test_the_last_user_is_told_of_those_that_live_only(thing: Path):
    mine = locks.Use(thing)
    mine.begin()
    with other("use", thing) as process:
        assert not mine.is_last()
        process.kill()
        process.wait()

        assert mine.is_last()
    mine.end()


def test_nobody_begins_to_use_a_thing_while_its_last_user_ends_it(thing: Path):
    mine = locks.Use(thing)
    assert mine.is_last()
    with subprocess.Popen(
        (sys.executable, "-c", HOLDS, "use", str(thing)),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip

        def waits() -> str:
            told = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            blocked = [fields[5] for fields in told if fields[1] == "->"]
            return "" if str(process.pid) in blocked else f"{blocked} wait"

        wait_for("the other waits", waits, within=30, every=0.05)
        shutil.rmtree(thing)
        mine.end()
        assert process.stdout
        assert process.stdout.readline() == "it is held\n"
        process.kill()


def test_a_file_that_is_its_own_lock_is_locked_and_stays_as_it_is(tmp_path: Path):
    path = tmp_path / "status"
    path.write_text("enabled")
    with locks.of_file(path), path.open() as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert path.read_text() == "enabled"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", [None, "", "{", "[]", "5", '"x"', "null"])
def test_a_lock_of_which_nobody_says_who_holds_it_is_nobodys_by_name(thing: Path, text: str | None):
    if text is not None:
        locks.file_of(thing).write_text(text)

    assert locks.holder(thing) == {}


def test_a_lock_that_is_gone_may_be_discarded_again(thing: Path):
    with locks.held(thing, {}, within=0, busy=busy):
        locks.discard(thing)
        locks.discard(thing)

    assert not locks.file_of(thing).exists()


def test_the_lock_of_what_anybody_may_lock_has_the_mode_that_was_asked_for(thing: Path):
    before = os.umask(0o077)
    try:
        lock = locks.take(thing, {}, mode=0o666)
    finally:
        os.umask(before)
    assert lock is not None
    with lock:
        assert locks.file_of(thing).stat().st_mode & 0o777 == 0o666


def test_a_use_that_has_ended_is_none_though_its_owner_lives_on(thing: Path):
    mine, others = locks.Use(thing), locks.Use(thing)
    mine.begin()
    others.begin()
    assert not others.is_last()
    mine.end()
    mine.end()  # which is no harm

    assert others.is_last()
    others.end()


def test_a_use_of_what_is_locked_is_a_thing_of_its_own(thing: Path):
    use = locks.Use(thing)
    use.begin()
    with locks.held(thing, {}, within=0, busy=busy):
        assert use.is_last()
    use.end()


def test_a_thing_whose_directory_is_not_there_yet_may_be_used(tmp_path: Path):
    use = locks.Use(tmp_path / "labs" / "one")
    use.begin()
    assert use.is_last()
    use.end()


def test_a_program_that_a_user_starts_is_no_user(thing: Path):
    mine, others = locks.Use(thing), locks.Use(thing)
    mine.begin()
    with subprocess.Popen(("cat",), stdin=subprocess.PIPE, close_fds=False) as program:
        mine.end()
        others.begin()
        assert others.is_last()
        program.kill()
    others.end()
