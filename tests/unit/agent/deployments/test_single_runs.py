"""`single_runs`: which services ran, and don't run again."""

from typing import Any

import pytest

from fleet import errors
from fleet.agent.deployments.single_runs import SingleRuns
from fleet.agent.model.runs import Memory, Run
from fleet.agent.runtimes.podman.executor import Outcome
from fleet.agent.runtimes.podman.planning import Create, Start
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import RestartPolicy
from tests.unit.agent.world import container, name, workload

NEVER, ON_FAILURE, ALWAYS = RestartPolicy.NEVER, RestartPolicy.ON_FAILURE, RestartPolicy.ALWAYS
DIGESTS = {"a": "d1"}


class Deployment:
    """The runs of one deployment of service `a`, and what was saved of them."""

    def __init__(self, *known: Run) -> None:
        self.saved: list[dict[str, Run]] = []
        self.pokes = 0
        runs = {run.service: run for run in known}
        self.runs = SingleRuns(Memory(runs, lambda r: self.saved.append(dict(r))), self._poke)

    def _poke(self) -> None:
        self.pokes += 1

    def look(self, *found: Container, seen: tuple[str, ...] = (), **more: Any) -> "Deployment":
        self.runs.look(found, seen=seen, **{"wanted": ("a",), **more})
        return self

    def ran(self, *found: Container) -> int | str | None:
        """The exit code with which `a` ran, "?" where nobody saw it end, None if it may run."""
        run = self.runs.ran(DIGESTS, found).get("a")
        return None if run is None else "?" if run.exit_code is None else run.exit_code


def found(status: Status, policy: RestartPolicy, **more: Any) -> Container:
    """The container of `a`. It was started, unless its times say otherwise."""
    times = {"started": 10, "finished": 20 if status is Status.EXITED else 0}
    return container("a", status=status, restart_policy=policy, **{**times, **more})


@pytest.mark.parametrize(
    ("policy", "exit_code", "ran"),
    [(NEVER, 0, 0), (NEVER, 3, 3), (ON_FAILURE, 0, 0), (ON_FAILURE, 3, None), (ALWAYS, 0, None)],
)
def test_what_has_ended_ran_also_when_its_container_is_gone(
    policy: RestartPolicy, exit_code: int, ran: int | None
):
    ended = found(Status.EXITED, policy, exit_code=exit_code)
    assert Deployment().look(ended).look().ran() == ran


@pytest.mark.parametrize(
    "interrupted",
    [
        pytest.param({"status": Status.CREATED}, id="podman 4.3"),
        pytest.param({"status": Status.EXITED, "finished": 0}, id="podman 5"),
        pytest.param({"status": Status.EXITED, "finished": 5}, id="podman 5, a later run"),
    ],
)
@pytest.mark.parametrize(("policy", "ran"), [(NEVER, "?"), (ON_FAILURE, None), (ALWAYS, None)])
def test_of_what_was_interrupted_only_what_never_runs_twice_stays_down(
    interrupted: dict[str, Any], policy: RestartPolicy, ran: str | None
):
    there = found(policy=policy, **interrupted)
    assert there.was_interrupted
    assert Deployment().look(there).look().ran() == ran


def test_a_clock_that_was_set_back_interrupts_nothing_that_we_saw():
    ended = found(Status.EXITED, ON_FAILURE, started=10, finished=5)
    assert Deployment().look(ended, seen=("a",)).ran() == 0


def test_what_was_seen_to_end_stays_ended():
    deployment = Deployment(Run(service="a", digest="d1", exit_code=3))
    assert deployment.look(found(Status.CREATED, NEVER)).ran() == 3


def test_what_never_runs_twice_is_made_and_remembered_before_it_is_started():
    deployment = Deployment()
    wanted = workload("a", restart_policy=NEVER)
    create, start = Create("a", wanted), Start("a", name("a"))
    assert deployment.runs.begin([create, start], []) == (create,)
    assert deployment.saved == []
    deployment.runs.note(Outcome(create))
    assert deployment.pokes == 1

    made = found(Status.CREATED, NEVER, started=0)
    assert deployment.runs.begin([start], [made]) == (start,)
    assert deployment.saved == [{"a": Run(service="a", digest="d1")}]
    assert deployment.ran(made) is None
    assert deployment.ran() == "?"


@pytest.mark.parametrize("policy", [ALWAYS, ON_FAILURE])
def test_others_are_started_at_once_and_cost_no_write(policy: RestartPolicy):
    deployment = Deployment()
    actions = (Create("a", workload("a", restart_policy=policy)), Start("a", name("a")))
    assert deployment.runs.begin(actions, []) == actions
    deployment.runs.note(Outcome(actions[0]))
    deployment.look(found(Status.RUNNING, policy))
    assert (deployment.saved, deployment.pokes) == ([], 0)


def test_what_there_is_no_container_of_is_not_started():
    deployment = Deployment()
    assert deployment.runs.begin([Start("a", name("a"))], []) == ()
    assert deployment.saved == []


def test_a_start_that_failed_was_none():
    deployment = Deployment()
    start = Start("a", name("a"))
    deployment.runs.begin([start], [found(Status.CREATED, NEVER, started=0)])
    deployment.runs.note(Outcome(start, errors.PortInUse("8080")))
    assert deployment.ran() is None


def test_another_digest_may_run_and_the_first_one_again_after_it():
    deployment = Deployment(Run(service="a", digest="d1", exit_code=0))
    assert deployment.runs.ran({"a": "d2"}, []) == {}
    assert deployment.look().ran() == 0
    deployment.look(found(Status.CREATED, NEVER, started=0, digest="d2"))
    assert deployment.look().ran() is None


def test_a_service_that_is_no_longer_wanted_is_forgotten_once_it_is_gone():
    deployment = Deployment()
    ended = found(Status.EXITED, NEVER)
    assert deployment.look(ended, wanted=()).ran() == 0
    assert deployment.look(wanted=None).ran() == 0
    assert deployment.look(wanted=()).ran() is None


def test_what_stays_the_same_is_saved_once():
    deployment = Deployment()
    for _ in range(3):
        deployment.look(found(Status.EXITED, NEVER))
    assert len(deployment.saved) == 1
