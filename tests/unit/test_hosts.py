"""What the end-to-end suite counts as left behind by a lab."""

import subprocess
from pathlib import Path

import psutil

from lab.system import waiting
from tests.e2e.hosts import Snapshot, processes_of

LONG = "600"


def test_a_process_of_the_tests_own_is_not_the_labs(tmp_path: Path):
    with subprocess.Popen(["sleep", LONG], cwd=_state(tmp_path)) as own:
        try:
            assert processes_of(tmp_path) == []
        finally:
            own.kill()


def test_a_process_that_outlived_the_command_that_started_it_is_the_labs(tmp_path: Path):
    orphan = psutil.Process(
        int(_answer(["sh", "-c", f"sleep {LONG} >&- 2>&- & echo $!"], tmp_path))
    )
    try:
        # It is a copy of the shell for a moment.
        waiting.wait_for("it sleeps", lambda: orphan.name().replace("sleep", ""), within=30)
        assert processes_of(tmp_path) == [f"{orphan.pid}: sleep {LONG} "]
    finally:
        orphan.kill()


def test_an_empty_parent_of_containers_may_go_and_none_may_be_left():
    parents = frozenset({"/pids/libpod_parent", "/pids/libpod_parent/conmon"})
    with_parents, without = (Snapshot({"cgroups": each}) for each in (parents, frozenset[str]()))

    assert with_parents.differences(without) == []
    assert len(without.differences(with_parents)) == 2
    container = Snapshot({"cgroups": parents | {"/pids/libpod_parent/libpod-0a"}})
    assert len(container.differences(with_parents)) == 1


def _state(tmp_path: Path) -> Path:
    state = tmp_path / "state"
    state.mkdir()
    return state


def _answer(argv: list[str], tmp_path: Path) -> str:
    return subprocess.run(
        argv, cwd=_state(tmp_path), check=True, capture_output=True, text=True, timeout=30
    ).stdout
