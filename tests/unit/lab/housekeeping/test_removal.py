"""`lab.gc` takes away what no lab needs, never what one does, and nothing from under anybody."""

import os
import threading
import time
from pathlib import Path

import pytest

from fleet import directories
from lab.host import lab_host, labs
from lab.host.lab_host import Addresses, LabHost, write_json
from lab.housekeeping import removal, unused_caches
from lab.housekeeping.unused_caches import Kind
from lab.lifecycle import cache_uses
from lab.system import locks

WEEK = 7.0


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path))
    return directories.cache_dir()


@pytest.fixture
def unused(cache: Path) -> tuple[Path, ...]:
    """What other checkouts and older pins left in the cache, a month ago."""
    made = ("envs/agent-old", "images/base-old", "toolchain/etcd-x86_64-old")
    for name in made:
        old(cache / name)
    return tuple(cache / name for name in made)


def old(path: Path, days: float = 30) -> Path:
    path.mkdir(parents=True)
    (path / "content").write_text("x")
    moment = time.time() - days * 86400
    for each in (path / "content", path):
        os.utime(each, (moment, moment))
    return path


def lab(name: str, *standing_on: Path) -> LabHost:
    """A lab that is there, and wrote down what it uses."""
    host = LabHost(name, labs.state_of(name), Addresses(1))
    write_json(host.state / "lab.json", {"name": name, "number": 1, "topology": "smoke"})
    cache_uses.begin(host, standing_on)
    return host


def found(days: float = WEEK) -> dict[Path, Kind]:
    return {each.path: each.kind for each in unused_caches.find(days)}


def test_what_nobody_has_used_for_a_week_is_removed(unused: tuple[Path, ...]):
    gone = removal.collect(unused_caches.find(WEEK))

    assert [each.kind for each in gone] == [Kind.ENVIRONMENT, Kind.IMAGES, Kind.TOOLCHAIN]
    assert not any(path.exists() for path in unused)
    assert all(each.bytes > 0 and 29 < each.days < 31 for each in gone)


def test_what_was_used_yesterday_stays(cache: Path):
    yesterday = old(cache / "envs/agent-other", days=1)

    assert found() == {}
    assert set(found(days=0.5)) == {yesterday}


def test_what_a_lab_uses_stays_however_old(unused: tuple[Path, ...]):
    for path in unused:
        moment = time.time() - 300 * 86400
        lab("one", path)
        os.utime(path, (moment, moment))

    assert [kind for kind in found().values() if kind is not Kind.LAB] == []


def test_nothing_is_removed_while_a_lab_is_there_that_never_said_what_it_uses(
    unused: tuple[Path, ...],
):
    write_json(labs.state_of("old") / "lab.json", {"name": "old", "number": 1, "topology": "smoke"})

    assert [path for path in unused if path in found()] == []


def test_what_a_lab_of_this_checkout_would_use_stays(cache: Path):
    for path in cache_uses.of_checkout():
        if cache in path.parents:
            old(path)

    assert found() == {}


def test_what_a_lab_begins_to_use_meanwhile_stays(unused: tuple[Path, ...]):
    seen = unused_caches.find(WEEK)
    lab("one", *unused)

    assert removal.collect(seen) == ()
    assert all(path.exists() for path in unused)


def test_what_a_lab_used_until_it_went_down_is_not_old(unused: tuple[Path, ...]):
    host = lab("one", *unused)

    labs.forget(host.name)

    assert found() == {}


def test_a_lab_that_settled_uses_only_what_it_stands_on_now(unused: tuple[Path, ...]):
    host = lab("one", *unused)

    cache_uses.settle(host, unused[:1])

    assert cache_uses.of_labs().paths == {unused[0]}


def test_logs_of_labs_that_are_down_go_and_those_of_others_stay():
    old(labs.state_of("down") / "logs")
    old(labs.state_of("lately") / "logs", days=2)
    old(lab("up").state / "logs")

    gone = removal.collect(each for each in unused_caches.find(WEEK) if each.kind is Kind.LOGS)

    assert [each.path.name for each in gone] == ["down"]
    assert not labs.state_of("down").exists()
    assert labs.state_of("lately").exists()


def test_logs_of_a_lab_that_comes_up_meanwhile_stay():
    old(labs.state_of("one") / "logs")
    seen = unused_caches.find(WEEK)

    with labs.held("one", "lab.up", within=0, saw=lambda _: None):
        assert removal.collect(seen) == ()
        lab("one")
    assert removal.collect(seen) == ()

    assert (labs.state_of("one") / "logs").exists()


def test_who_waits_for_a_lab_whose_directory_is_removed_holds_the_new_one():
    state = labs.state_of("one")
    waits = threading.Event()
    holds: list[str] = []

    def second() -> None:
        with labs.held("one", "lab.up", within=10, saw=lambda _: waits.set()):
            assert locks.take(state) is None
            holds.append(f"{locks.holder(state)['command']} {state.is_dir()}")

    with labs.held("one", "lab.gc", within=0, saw=lambda _: None):
        other = threading.Thread(target=second)
        other.start()
        assert waits.wait(10)
        state.rename(state.with_name(".removing-one"))
        locks.discard(state)
    other.join(10)

    assert holds == ["lab.up True"]


def test_a_lab_whose_logs_are_removed_leaves_no_lock(cache: Path):
    old(labs.state_of("down") / "logs")

    removal.collect(unused_caches.find(WEEK))

    assert list((cache / "labs").iterdir()) == []


def test_a_lock_is_no_lab_and_nothing_to_remove():
    use = locks.Use(labs.state_of("one"))
    use.begin()
    with labs.held("one", "lab.up", within=0, saw=lambda _: None):
        labs.state_of("one").rmdir()
        there = [path.name for path in sorted(lab_host.labs_dir().iterdir())]
        assert (labs.names(), labs.all_there(), found()) == ((), (), {})
    use.end()

    assert there == ["one.lock", "one.users.lock"]


def test_what_was_half_removed_is_removed_whatever_its_age(cache: Path):
    trash = cache / "envs" / f"{unused_caches.TRASH}agent-x"
    old(trash, days=0)

    (gone,) = removal.collect(unused_caches.find(WEEK))

    assert (gone.kind, trash.exists()) == (Kind.TRASH, False)


def test_a_lab_of_which_nothing_runs_is_dead_and_told_with_the_rest():
    lab("dead")

    assert found() == {labs.state_of("dead"): Kind.LAB}
