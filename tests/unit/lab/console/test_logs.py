"""`lab.logs`: one log as it is, several with their names, and a hint where there is none."""

import io
from pathlib import Path

import pytest

from lab.console import logs
from lab.errors import NothingThere


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "etcd.log").write_text("one\ntwo\n")
    (tmp_path / "nats.log").write_text("three\n")
    return tmp_path


def shown(paths) -> list[str]:
    out = io.StringIO()
    logs.show(paths, out)
    return out.getvalue().splitlines()


def test_one_log_is_shown_as_it_is(directory: Path):
    assert shown(logs.choose(directory, "etcd")) == ["one", "two"]


def test_all_logs_are_shown_with_their_names(directory: Path):
    assert shown(logs.choose(directory, "")) == ["etcd: one", "etcd: two", "nats: three"]


def test_an_unknown_part_lists_those_there_are(directory: Path):
    with pytest.raises(NothingThere) as caught:
        logs.choose(directory, "ectd")

    assert caught.value.hint == "there are etcd, nats"


def test_following_shows_whole_lines_as_they_come(directory: Path):
    paths = logs.choose(directory, "nats")
    out = io.StringIO()
    writes = iter(["fo", "ur\nfi", "ve\n"])

    def sleep(_: float) -> None:
        with (directory / "nats.log").open("a") as file:
            file.write(next(writes))

    with pytest.raises(StopIteration):
        logs.follow(paths, out, sleep=sleep)

    assert out.getvalue() == "four\nfive\n"


def test_following_ends_when_it_is_interrupted(directory: Path):
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    logs.follow(logs.choose(directory, ""), io.StringIO(), sleep=interrupted)
