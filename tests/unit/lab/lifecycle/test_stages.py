"""`stages`: in order, up to the first failure; one counts when all before are whole."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fleet.scores.score import Change, Outcome, Score
from lab.errors import LabError
from lab.host.lab_host import Addresses, LabHost
from lab.host.ledger import Kind
from lab.lifecycle import stages
from lab.lifecycle.stages import Done, Plan, Stage


@dataclass(frozen=True)
class Switch(Score[LabHost]):
    """A thing that is on or off; *stuck*, it fails to be turned on."""

    label: str
    on: set[str]
    stuck: bool = False

    @property
    def name(self) -> str:
        return self.label

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        return () if self.label in self.on else ("it is off",)

    def bring_about(self, topology: LabHost) -> None:
        del topology
        if self.stuck:
            raise LabError("it won't turn")
        self.on.add(self.label)


@dataclass(frozen=True)
class Meeting(Score[LabHost]):
    """Comes about only while others do: *met* is where all of them meet."""

    label: str
    met: threading.Barrier
    breaks: bool = False

    @property
    def name(self) -> str:
        return self.label

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        return ("not met yet",)

    def bring_about(self, topology: LabHost) -> None:
        topology.ledger.intend(Kind.PROCESS, self.label)
        self.met.wait(10)
        if self.breaks:
            raise OSError("nobody foresaw it")


@dataclass
class Listener:
    """Remembers what it heard."""

    begun: list[tuple[Stage, str]] = field(default_factory=list)

    def begins(self, stage: Stage, score: str) -> None:
        self.begun.append((stage, score))

    def sees(self, what: str) -> None:
        pass

    def ends(self, done: Done) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> LabHost:
    return LabHost("x", tmp_path, Addresses(1))


def plans(on: set[str], stuck: str = "") -> tuple[Plan, ...]:
    parts = {Stage.NETWORK: "bridge", Stage.CONTROL_PLANE: "etcd", Stage.BROKER: "nats"}
    return tuple(
        Plan(stage, (Switch(label, on, stuck=label == stuck),), budget=10)
        for stage, label in parts.items()
    )


def test_every_stage_is_brought_about_in_order(host: LabHost):
    on: set[str] = set()
    listener = Listener()

    done = stages.reach(plans(on), host, listener)

    assert [score for _, score in listener.begun] == ["bridge", "etcd", "nats"]
    assert on == {"bridge", "etcd", "nats"}
    assert {entry.outcome.change for entry in done} == {Change.CHANGED}


def test_a_second_time_changes_nothing(host: LabHost):
    on: set[str] = set()
    stages.reach(plans(on), host, Listener())

    done = stages.reach(plans(on), host, Listener())

    assert {entry.outcome.change for entry in done} == {Change.UNCHANGED}


def test_the_first_failure_ends_it(host: LabHost):
    on: set[str] = set()

    done = stages.reach(plans(on, stuck="etcd"), host, Listener())

    assert done[-1].outcome.change is Change.FAILED
    assert on == {"bridge"}


def test_a_dry_run_changes_nothing_and_tells_of_all(host: LabHost):
    on: set[str] = set()

    done = stages.reach(plans(on), host, Listener(), dry_run=True)

    assert (len(done), on) == (3, set())


@pytest.mark.parametrize(
    ("on", "stage"),
    [
        (set(), Stage.DOWN),
        ({"bridge"}, Stage.DOWN),
        ({"bridge", "etcd"}, Stage.CONTROL_PLANE),
        ({"bridge", "nats"}, Stage.DOWN),
        ({"bridge", "etcd", "nats"}, Stage.BROKER),
    ],
    ids=["nothing", "the network alone", "two", "a hole", "all"],
)
def test_a_stage_is_reached_when_it_and_all_before_it_are_whole(on, stage, host: LabHost):
    wanted = plans(on)

    assert stages.reached(wanted, stages.reach(wanted, host, Listener(), dry_run=True)) is stage


@pytest.mark.parametrize("on", [set(), {"bridge"}, {"bridge", "nats"}])
def test_a_lab_of_which_anything_runs_is_not_down_whatever_it_lacks(on: set[str], host: LabHost):
    wanted = plans(on)
    done = stages.reach(wanted, host, Listener(), dry_run=True)

    assert stages.reached(wanted, done, runs=True) is Stage.NETWORK
    assert stages.reached(wanted, done, runs=False) is Stage.DOWN


def test_lanes_come_side_by_side_after_what_they_share(host: LabHost):
    on: set[str] = set()
    met = threading.Barrier(2)
    lanes = {name: (Meeting(f"namespaces {name}", met),) for name in ("dev-01", "dev-02")}

    done = stages.reach(
        [Plan(Stage.DEVICES, (Switch("cgroups", on),), 10, lanes)], host, Listener()
    )

    assert [(entry.lane, entry.outcome.change) for entry in done] == [
        ("", Change.CHANGED),
        ("dev-01", Change.CHANGED),
        ("dev-02", Change.CHANGED),
    ]
    assert {entry.lane for entry in host.ledger.entries()} == {"dev-01", "dev-02"}


@pytest.mark.parametrize("unforeseen", [True, False])
def test_a_device_that_fails_is_told_by_name_and_hides_no_other(unforeseen: bool, host: LabHost):
    on: set[str] = set()
    alone = threading.Barrier(1)
    broken = Meeting("x", alone, breaks=True) if unforeseen else Switch("x", on, stuck=True)
    lanes = {
        "dev-01": (broken, Switch("after the failure", on)),
        "dev-02": (Switch("file agent.toml", on),),
        "dev-03": (broken,),
    }
    later = Plan(Stage.READY, (Switch("ready", on),), budget=10)

    done = stages.reach([Plan(Stage.DEVICES, (), 10, lanes), later], host, Listener())

    assert [entry.name for entry in done if entry.failed] == ["dev-01: x", "dev-03: x"]
    assert on == {"file agent.toml"}


def test_an_outcome_that_failed_is_not_reached():
    plan = Plan(Stage.CONTROL_PLANE, (), budget=1)
    failed = Done(Stage.CONTROL_PLANE, Outcome("etcd", Change.FAILED), 0.1)

    assert stages.reached([plan], [failed]) is Stage.DOWN
