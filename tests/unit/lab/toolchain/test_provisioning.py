"""The toolchain builds what is missing, once, whoever asks and whatever fails."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lab.toolchain.builders import BuildFailed
from lab.toolchain.parts import Part, Program, Wheel
from lab.toolchain.provisioning import Toolchain
from lab.toolchain.store import Store

ONE = Part("one", Wheel("one.txt", "one"), (Program("first"), Program("second")))
TWO = Part("two", Wheel("two.txt", "two"), (Program("third"),))


@dataclass
class FakeBuilder:
    """Writes a file per program, and remembers what it was asked for."""

    failing: tuple[str, ...] = ()
    built: list[str] = field(default_factory=list)
    entered: threading.Event = field(default_factory=threading.Event)
    may_end: threading.Event | None = None

    def build(self, part: Part, directory: Path) -> None:
        self.built.append(part.name)
        self.entered.set()
        assert self.may_end is None or self.may_end.wait(10)
        for program in part.programs:
            (directory / program.name).write_text(part.name)
        if part.name in self.failing:
            raise BuildFailed("no", element=part.name)


@pytest.fixture
def toolchain(tmp_path: Path) -> Toolchain:
    for name in ("one", "two"):
        (tmp_path / f"{name}.txt").write_text(f"{name}==1")
    return Toolchain(tmp_path, Store(tmp_path / "store"), (ONE, TWO))


@pytest.fixture
def said() -> list[str]:
    return []


def test_all_programs_lie_in_one_directory(toolchain: Toolchain, said: list[str]):
    programs = toolchain.ensure(FakeBuilder(), said.append)
    assert {path.name for path in programs.iterdir()} == {"first", "second", "third"}
    assert toolchain.is_ready()


def test_what_is_there_is_not_built_again(toolchain: Toolchain, said: list[str]):
    toolchain.ensure(FakeBuilder(), said.append)
    again = FakeBuilder()
    said.clear()
    toolchain.ensure(again, said.append)
    assert not again.built
    assert not said


def test_a_changed_pin_builds_its_part_alone(toolchain: Toolchain, said: list[str]):
    before = toolchain.ensure(FakeBuilder(), said.append)
    (toolchain.root / "two.txt").write_text("two==2")
    builder = FakeBuilder()
    assert toolchain.ensure(builder, said.append) != before
    assert builder.built == ["two"]


def test_a_part_that_was_built_stays_when_another_fails(toolchain: Toolchain, said: list[str]):
    with pytest.raises(BuildFailed):
        toolchain.ensure(FakeBuilder(failing=("two",)), said.append)
    assert not toolchain.is_ready()
    builder = FakeBuilder()
    toolchain.ensure(builder, said.append)
    assert builder.built == ["two"]


def test_a_lost_program_is_brought_back(toolchain: Toolchain, said: list[str]):
    programs = toolchain.ensure(FakeBuilder(), said.append)
    (programs / "third").unlink()
    builder = FakeBuilder()
    toolchain.ensure(builder, said.append)
    assert (programs / "third").exists()
    assert not builder.built


def test_the_second_of_two_waits_and_builds_nothing(toolchain: Toolchain, said: list[str]):
    may_end = threading.Event()
    first = FakeBuilder(may_end=may_end)
    second = FakeBuilder()
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    builders = [
        threading.Thread(target=toolchain.ensure, args=(first, lambda _: None)),
        threading.Thread(target=toolchain.ensure, args=(second, say)),
    ]
    builders[0].start()
    assert first.entered.wait(10)
    builders[1].start()
    assert waits.wait(10)
    assert "waiting" in said[0]
    may_end.set()
    for builder in builders:
        builder.join(10)
    assert first.built == ["one", "two"]
    assert not second.built
    assert toolchain.is_ready()
