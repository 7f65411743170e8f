"""Every number that an invoke task takes is refused in one line where it is none."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.program import Program

import tasks
from lab.console import options

NUMBERS = [
    pytest.param(argument, id=f"{task.name} {argument.names[0]}")
    for task in options.tasks_of(tasks.namespace)
    for argument in task.get_arguments()
    if argument.kind in {int, float}
]


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A benchmark goes to the checkout, and sets the log's level, for its own process."""
    monkeypatch.chdir(Path.cwd())
    logging = structlog.get_config()
    yield
    structlog.configure(**logging)


def test_the_tasks_have_numbers():
    assert {"soak.bus", "lab.gc", "bench.control"} <= set(tasks.namespace.task_names)
    assert len(NUMBERS) > 9


@pytest.mark.parametrize("argument", NUMBERS)
@pytest.mark.parametrize("given", ["abc", "", "-1", "1x", "nan", "inf"])
def test_what_is_no_number_is_refused_with_the_option_and_what_it_takes(
    argument: Argument, given: str
):
    with pytest.raises(Exit) as caught:
        argument.value = given
    assert caught.value.code == 2
    assert str(caught.value.message).startswith(
        f"failed: --{argument.names[0]} {given!r}: it takes a"
    )


@pytest.mark.parametrize("argument", NUMBERS)
def test_what_is_a_number_is_taken(argument: Argument):
    argument.set_value("12")
    assert argument.value == argument.kind(12)
    assert "_" not in argument.names[0]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("soak.bus --sessions abc", "--sessions 'abc': it takes a whole number, 0 or more"),
        ("soak.bus --sessions 2.5", "--sessions '2.5': it takes a whole number, 0 or more"),
        ("lab.gc --older-than x", "--older-than 'x': it takes a number, 0 or more"),
    ],
)
def test_a_command_ends_with_one_line_and_status_2(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as caught:
        Program(namespace=tasks.namespace).run(["invoke", *command.split()])
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", f"failed: {told}\n")


@pytest.mark.usefixtures("apart")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("bench.control --devices 2,a", "--devices a"),
        ("bench.control --rounds 0", "--rounds 0"),
        ("bench.start --sizes 3y5", "--sizes 3y5"),
        ("bench.start --sizes 3x0", "--sizes 3x0"),
        ("bench.footprint --seconds 0", "--seconds 0"),
        ("bench.control --format x", "no format 'x'"),
    ],
)
def test_a_benchmark_that_makes_no_sense_is_refused_before_it_is_begun(
    command: str, told: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as caught:
        Program(namespace=tasks.namespace).run(["invoke", *command.split()])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"failed: {told}\n")
