"""`reporting`: the phase that each combination amounts to."""

from dataclasses import replace

import pytest

from fleet import errors
from fleet.agent.model import intents
from fleet.agent.model.runs import Run
from fleet.agent.runtimes.podman import reporting
from fleet.agent.runtimes.podman.health import Course, Health
from fleet.agent.runtimes.podman.reporting import History, View
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.messages import Phase, ServiceState, StateError
from fleet.contracts.scores import RestartPolicy
from tests.unit.agent.world import container, workload

ONE = intents.Apply("r1", (workload("a"),))
TWO = intents.Apply("r1", (workload("a"), workload("b")))


def ended(exit_code: int, policy: RestartPolicy = RestartPolicy.ALWAYS) -> Container:
    """A container that ended."""
    return container("a", status=Status.EXITED, exit_code=exit_code, restart_policy=policy)


@pytest.mark.parametrize(
    ("found", "history", "phase", "reason"),
    [
        pytest.param((), History(), Phase.PENDING, None, id="nothing yet"),
        pytest.param((container("a"),), History(), Phase.RUNNING, None, id="runs"),
        pytest.param(
            (container("a", status=Status.STOPPING),), History(), Phase.PENDING, None, id="stopping"
        ),
        pytest.param((container("a", "d2"),), History(), Phase.PENDING, None, id="old version"),
        pytest.param(
            (container("a", status=Status.CREATED),), History(), Phase.PENDING, None, id="created"
        ),
        pytest.param(
            (container("a", status=Status.PAUSED),), History(), Phase.PENDING, None, id="paused"
        ),
        pytest.param((ended(1),), History(1), Phase.PENDING, None, id="fell over once"),
        pytest.param((ended(1),), History(3), Phase.FAILED, "CrashLoop", id="falls over"),
        pytest.param(
            (container("a"),),
            History(3, is_settled=False),
            Phase.FAILED,
            "CrashLoop",
            id="started again after many falls",
        ),
        pytest.param(
            (container("a"),), History(1, is_settled=False), Phase.PENDING, None, id="unsettled"
        ),
        pytest.param((container("a"),), History(3), Phase.RUNNING, None, id="settled"),
        pytest.param(
            (ended(0, RestartPolicy.NEVER),), History(), Phase.RUNNING, None, id="one-shot, well"
        ),
        pytest.param(
            (ended(2, RestartPolicy.NEVER),),
            History(),
            Phase.FAILED,
            "ContainerExited",
            id="one-shot, badly",
        ),
        pytest.param(
            (ended(0, RestartPolicy.ON_FAILURE),), History(), Phase.RUNNING, None, id="done"
        ),
        pytest.param(
            (ended(2, RestartPolicy.ON_FAILURE),), History(1), Phase.PENDING, None, id="again"
        ),
        pytest.param(
            (),
            History(error=errors.PortInUse("taken")),
            Phase.FAILED,
            "PortInUse",
            id="an action failed",
        ),
        pytest.param(
            (container("a"), container("gone")), History(), Phase.PENDING, None, id="leftover"
        ),
    ],
)
def test_the_phase_follows_from_what_is_found(
    found: tuple[Container, ...], history: History, phase: Phase, reason: str | None
):
    report = reporting.report(ONE, View(found, history={"a": history}))
    assert report.phase is phase
    assert (report.error.reason if report.error else None) == reason
    assert report.revision == "r1"
    assert [s.name for s in report.services] == ["a"]


@pytest.mark.parametrize(
    ("exit_code", "how"), [(3, "it exited with 3"), (137, "it was ended by SIGKILL (137)")]
)
@pytest.mark.parametrize("found", [ended(0), container("a")])
def test_of_a_crash_loop_the_last_end_the_falls_and_the_next_try_are_told(
    found: Container, exit_code: int, how: str
):
    history = History(5, is_settled=False, exit_code=exit_code, wait=16.4)
    report = reporting.report(ONE, View((found,), history={"a": history}))
    assert report.error
    assert report.error.message == (
        f"{how} soon after its start, 5 times in a row; `podman logs fleet.web.a` on the device"
        " tells why; it is started again 16 s after its end, a new version at once"
    )


def test_of_a_crash_loop_that_memory_and_long_runs_are_told():
    history = History(4, is_settled=False, exit_code=137, longest=20.0, out_of_memory=True)
    report = reporting.report(ONE, View((container("a"),), history={"a": history}))
    assert report.error
    assert report.error.message == (
        "it ran out of memory and was ended by SIGKILL (137) within 20 s of its start, 4 times in"
        " a row; `podman logs fleet.web.a` on the device tells why; it is started again at once"
    )


def test_of_a_one_shot_that_failed_the_end_and_what_to_do_are_told():
    report = reporting.report(ONE, View((ended(2, RestartPolicy.NEVER),)))
    assert report.error
    assert report.error.message == (
        "it exited with 2, and restartPolicy Never does not start it again; `podman logs"
        " fleet.web.a` on the device tells why; a new version of it is run"
    )


@pytest.mark.parametrize(
    ("exit_code", "phase", "state", "message"),
    [
        (0, Phase.RUNNING, "exited", ""),
        (3, Phase.FAILED, "exited", "it exited with 3, and restartPolicy Never does not"),
        (
            None,
            Phase.FAILED,
            "missing",
            "it was interrupted and may be half-way, and restartPolicy",
        ),
    ],
)
def test_of_what_ran_its_end_is_told_though_its_container_is_gone(
    exit_code: int | None, phase: Phase, state: str, message: str
):
    run = Run(service="a", digest="d1", exit_code=exit_code)
    report = reporting.report(ONE, View((), ran={"a": run}))
    assert (report.phase, report.services[0].state) == (phase, state)
    assert (report.error.message if report.error else "").startswith(message)


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
def test_what_a_power_cut_interrupted_and_never_runs_twice_has_failed(status: Status):
    found = container("a", status=status, restart_policy=RestartPolicy.NEVER, started=10)
    run = Run(service="a", digest="d1")
    report = reporting.report(ONE, View((found,), ran={"a": run}))
    assert report.error
    assert (report.phase, report.error.reason) == (Phase.FAILED, "Interrupted")
    assert "; a new version of it is run" in report.error.message
    ended = View((found,), ran={"a": Run(service="a", digest="d1", exit_code=0)})
    assert reporting.report(ONE, ended).error is None


@pytest.mark.parametrize("exit_code", [0, 1])
@pytest.mark.parametrize("status", [Status.EXITED, Status.PAUSED, Status.BROKEN])
def test_what_has_done_its_work_is_well_whatever_became_of_its_container(
    status: Status, exit_code: int
):
    found = container(
        "a", status=status, restart_policy=RestartPolicy.ON_FAILURE, exit_code=exit_code
    )
    run = Run(service="a", digest="d1", exit_code=0)
    assert reporting.report(ONE, View((found,), ran={"a": run})).phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (Status.BROKEN, "`podman logs fleet.web.a` on the device tells why; a new version"),
        (Status.PAUSED, "it is paused, and `podman unpause fleet.web.a` lets it go on; a new"),
    ],
)
def test_what_never_runs_twice_and_neither_runs_nor_ended_says_so(status: Status, remedy: str):
    found = container("a", status=status, restart_policy=RestartPolicy.NEVER, started=10)
    run = Run(service="a", digest="d1")
    report = reporting.report(ONE, View((found,), ran={"a": run}))
    assert report.error
    assert (report.phase, report.error.reason) == (Phase.FAILED, "Interrupted")
    assert remedy in report.error.message


@pytest.mark.parametrize("ran", [{}, {"a": Run(service="a", digest="d1", exit_code=137)}])
def test_of_what_ran_out_of_memory_and_never_runs_twice_that_is_told(ran: dict[str, Run]):
    found = replace(ended(137, RestartPolicy.NEVER), out_of_memory=True)
    report = reporting.report(ONE, View((found,), ran=ran))
    assert report.error
    assert report.error.message.startswith("it ran out of memory and was ended by SIGKILL")


def test_the_worst_service_decides_and_its_error_is_told():
    failures = {"b": errors.ImageNotFound("no b:1")}
    report = reporting.report(TWO, View((container("a"),), unstaged={"b"}, failures=failures))
    assert report.phase is Phase.FAILED
    assert report.error
    assert (report.error.reason, report.error.service) == ("ImageNotFound", "b")
    assert [(s.name, s.state) for s in report.services] == [("a", "running"), ("b", "missing")]


def test_an_image_on_its_way_is_told():
    report = reporting.report(ONE, View((), unstaged={"a"}))
    assert report.services[0].state == "pulling"


def test_what_is_refused_fails_with_its_own_revision_and_shows_what_is_kept():
    refused = intents.Refuse("r2", "UnsupportedScore", "no field 'gpu'", ONE)
    report = reporting.report(refused, View((container("a", image="sha256:1"),)))
    assert (report.phase, report.revision) == (Phase.FAILED, "r2")
    assert report.error
    assert report.error.reason == "UnsupportedScore"
    assert report.services[0].image == "sha256:1"


def test_without_the_runtime_what_was_said_of_the_revision_stands():
    told = reporting.report(ONE, View((container("a"),)))
    down = errors.RuntimeUnavailable("no socket")
    assert reporting.unavailable(ONE, down, told) == told
    newer = intents.Apply("r2", ONE.workloads)
    report = reporting.unavailable(newer, down, told)
    assert (report.phase, report.revision) == (Phase.PENDING, "r2")
    assert report.error
    assert report.error.reason == "RuntimeUnavailable"


def test_without_the_runtime_what_was_said_of_what_is_kept_stands_too():
    told = reporting.report(intents.Keep(), View((container("a"),)))
    assert reporting.unavailable(intents.Keep(), errors.RuntimeUnavailable("no"), told) == told
    first = reporting.unavailable(intents.Keep(), errors.RuntimeUnavailable("no"), None)
    assert (first.revision, first.phase, first.services) == ("", Phase.PENDING, ())


@pytest.mark.parametrize(
    ("course", "phase", "state", "error"),
    [
        (Course(Health.HEALTHY), Phase.RUNNING, "running", None),
        (Course(Health.STARTING), Phase.PENDING, "starting", None),
        (Course(Health.UNKNOWN), Phase.PENDING, "unknown", None),
        (
            Course(Health.UNHEALTHY, output="no answer"),
            Phase.FAILED,
            "unhealthy",
            StateError(
                reason="Unhealthy", message="its health check fails: no answer", service="a"
            ),
        ),
    ],
)
def test_what_runs_is_as_well_as_its_check_says(
    course: Course, phase: Phase, state: str, error: StateError | None
):
    view = View((container("a"),), health={"a": course})
    report = reporting.report(ONE, view)
    assert (report.phase, report.error) == (phase, error)
    assert [s.state for s in report.services] == [state]
    assert reporting.is_certain(view) == (course.health is not Health.UNKNOWN)


def test_of_what_has_ended_its_check_says_nothing():
    view = View((ended(1),), health={"a": Course(Health.UNHEALTHY)})
    assert [s.state for s in reporting.report(ONE, view).services] == ["exited"]


def test_what_is_kept_without_a_score_is_told_service_by_service():
    found = (container("b", image="sha256:2"), ended(1))
    report = reporting.report(intents.Keep(), View(found, history={"a": History(3, restarts=2)}))
    assert (report.revision, report.phase) == ("", Phase.FAILED)
    assert report.error
    assert (report.error.reason, report.error.service) == ("CrashLoop", "a")
    assert report.services == (
        ServiceState(name="a", state="exited", restarts=2),
        ServiceState(name="b", state="running", image="sha256:2"),
    )


def test_what_is_waited_for_is_told_with_its_error_and_has_not_failed():
    slow = {"a": errors.ImagePullFailed("it takes long")}
    report = reporting.report(ONE, View((), unstaged={"a"}, slow=slow))
    assert report.phase is Phase.PENDING
    assert report.error == StateError(
        reason="ImagePullFailed", message="it takes long", service="a"
    )


def test_what_keeps_a_leftover_from_going_is_told():
    found = (container("a"), container("gone"))
    history = {"gone": History(error=errors.ContainerInUse("probe depends on it"))}
    report = reporting.report(ONE, View(found, history=history))
    assert report.phase is Phase.PENDING
    assert report.error == StateError(
        reason="ContainerInUse", message="probe depends on it", service="gone"
    )


def test_what_somebody_else_keeps_from_being_withdrawn_is_told_of_the_revision_told_before():
    view = View(
        (container("a"), container("b")),
        history={
            "a": History(error=errors.ContainerFailed("busy")),
            "b": History(error=errors.ContainerInUse("probe depends on it"), restarts=1),
        },
    )
    told = reporting.report(TWO, View((container("a"), container("b"))))
    report = reporting.withdrawal(view, told)
    assert report
    assert (report.revision, report.phase) == ("r1", Phase.FAILED)
    assert report.error == StateError(
        reason="ContainerInUse", message="probe depends on it", service="b"
    )
    assert [(s.name, s.state, s.restarts) for s in report.services] == [
        ("a", "running", 0),
        ("b", "running", 1),
    ]
    untold = reporting.withdrawal(view, None)
    assert untold
    assert untold.revision == ""
    assert reporting.withdrawal(replace(view, history={}), told) is None
    assert reporting.withdrawal(replace(view, found=()), told) is None


@pytest.mark.parametrize(("intent", "revision"), [(ONE, "r1"), (intents.Keep(), "")])
def test_a_bug_of_ours_fails_the_deployment_whose_services_are_told_as_before(
    intent: intents.Apply | intents.Keep, revision: str
):
    told = reporting.report(ONE, View((container("a"),)))
    error = StateError(reason="InternalError", message="KeyError")
    report = reporting.internal_error(intent, "KeyError", told)
    assert (report.revision, report.phase, report.error) == (revision, Phase.FAILED, error)
    assert report.services == told.services != ()
    assert reporting.internal_error(intent, "KeyError", None).services == ()
