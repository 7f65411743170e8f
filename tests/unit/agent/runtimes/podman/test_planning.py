"""`planning`: laws over every combination of wanted and found, and the cases worth a name."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman import planning
from fleet.agent.runtimes.podman.planning import Create, Remove, Start
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts.scores import Port, PullPolicy, RestartPolicy
from tests.unit.agent.world import World, container, name, workload

NAMES = ["a", "b", "c", "d"]
DIGESTS = ["d1", "d2"]

names = st.sampled_from(NAMES)
policies = st.sampled_from(RestartPolicy)


@st.composite
def workloads(draw: st.DrawFn) -> list[Workload]:
    """What is wanted; ports are drawn so that services swap them between revisions."""
    wanted = draw(st.lists(names, unique=True))
    ports = draw(st.permutations(range(8000, 8000 + len(NAMES))))
    return [
        workload(
            n,
            draw(st.sampled_from(DIGESTS)),
            restart_policy=draw(policies),
            ports=(Port(host=port, container=80),),
        )
        for n, port in zip(wanted, ports, strict=False)
    ]


@st.composite
def found_containers(draw: st.DrawFn) -> list[Container]:
    """What a device may hold, in any state."""
    return [
        container(
            n,
            draw(st.sampled_from(DIGESTS)),
            draw(st.sampled_from(Status)),
            restart_policy=draw(policies),
            exit_code=draw(st.sampled_from([0, 1])),
            has_other_node=draw(st.booleans()),
        )
        for n in draw(st.lists(names, unique=True))
    ]


def world_of(found: list[Container]) -> World:
    """A world where each container holds a port, as its digest had it."""
    world = World.of(found)
    for index, c in enumerate(found):
        world.ports[c.name] = frozenset([8000 + index])
    return world


def is_as_wanted(c: Container, wanted: Workload) -> bool:
    """The goal, said without `planning`: this digest, and it runs or has a right to rest."""
    rests = {
        RestartPolicy.ALWAYS: False,
        RestartPolicy.ON_FAILURE: c.exit_code == 0,
        RestartPolicy.NEVER: True,
    }
    at_rest = c.status is Status.EXITED and rests[c.restart_policy]
    alive = c.status in (Status.RUNNING, Status.STOPPING)
    return c.digest == wanted.digest and (alive or at_rest)


@given(workloads(), found_containers())
def test_one_pass_leaves_exactly_what_is_wanted(wanted: list[Workload], found: list[Container]):
    world = world_of(found)
    for w in wanted:  # What stays as it is keeps the ports that its digest asked for.
        if w.name in world.ports:
            world.ports[w.name] = frozenset()
    for action in planning.plan(wanted, found):
        world.do(action)
    assert world.containers.keys() == {w.name for w in wanted}
    assert all(is_as_wanted(world.containers[w.name], w) for w in wanted)


@given(workloads(), found_containers())
def test_a_second_pass_does_nothing(wanted: list[Workload], found: list[Container]):
    world = World.of(found)
    for action in planning.plan(wanted, found):
        world.do(action)
    assert planning.plan(wanted, world.containers.values()) == ()


@given(workloads(), found_containers())
def test_what_already_runs_right_is_never_touched(wanted: list[Workload], found: list[Container]):
    digests = {w.name: w.digest for w in wanted}
    healthy = {
        c.service
        for c in found
        if c.status is Status.RUNNING
        and digests.get(c.name) == c.digest
        and not (c.has_other_node and c.restart_policy is RestartPolicy.ALWAYS)
    }
    touched = {action.service for action in planning.plan(wanted, found)}
    assert not healthy & touched


@given(workloads(), found_containers(), st.randoms(use_true_random=False))
def test_the_order_of_the_arguments_does_not_matter(
    wanted: list[Workload], found: list[Container], shuffler: random.Random
):
    planned = planning.plan(wanted, found)
    shuffler.shuffle(wanted)
    shuffler.shuffle(found)
    assert planning.plan(wanted, found) == planned


@given(workloads(), found_containers(), st.sets(names))
def test_of_a_held_service_only_what_is_no_longer_wanted_goes(
    wanted: list[Workload], found: list[Container], held: set[str]
):
    planned = planning.plan(wanted, found, held=held) + planning.keep(found, held=held)
    about = {action.service: action for action in planned if action.service in held}
    unwanted = {c.service for c in found} - {w.service.name for w in wanted}
    assert set(about) == held & unwanted
    assert all(isinstance(action, Remove) for action in about.values())


@given(workloads(), found_containers(), st.sets(names))
def test_what_can_not_be_removed_yet_is_kept_alive_where_it_is_wanted_and_no_more(
    wanted: list[Workload], found: list[Container], stuck: set[str]
):
    planned = planning.plan(wanted, found, stuck=stuck) + planning.withdraw(found, stuck=stuck)
    about = [action for action in planned if action.service in stuck]
    assert all(isinstance(action, Start) for action in about)
    kept = {action.service for action in planning.keep(found)}
    assert {action.service for action in about} == kept & stuck & {w.service.name for w in wanted}


@given(workloads(), found_containers(), st.sets(names))
def test_what_will_not_start_is_made_anew_and_what_runs_is_left_alone(
    wanted: list[Workload], found: list[Container], unstartable: set[str]
):
    world = World.of(found)
    for action in planning.plan(wanted, found, unstartable=unstartable):
        world.do(action)
    anew = (
        {a.service for a in planning.keep(found)} & unstartable & {w.service.name for w in wanted}
    )
    ids = {c.id for c in found}
    assert not {c.service for c in world.containers.values() if c.id in ids} & anew
    running = {c.id for c in found if c.status is Status.RUNNING}
    plain = World.of(found)
    for action in planning.plan(wanted, found):
        plain.do(action)
    kept = running & {c.id for c in plain.containers.values()}
    assert kept <= {c.id for c in world.containers.values()}


@given(workloads(), found_containers(), st.sets(names))
def test_what_is_made_anew_as_it_will_not_start_is_staged_as_well(
    wanted: list[Workload], found: list[Container], unstartable: set[str]
):
    planned = planning.plan(wanted, found, unstartable=unstartable)
    made = {action.service for action in planned if isinstance(action, Create)}
    staged = planning.to_stage(wanted, found, unstartable=unstartable)
    assert {w.service.name for w in staged} == made


def test_what_will_not_start_and_can_not_be_made_anew_is_started_and_holds_up_no_other():
    wanted = [workload("a"), workload("b", "d2")]
    found = [container("a", status=Status.EXITED), container("b")]
    planned = planning.plan(wanted, found, unstaged={"a"}, unstartable={"a"})
    anew = (Remove("b", name("b")), Create("b", wanted[1]))
    assert planned == (*anew, Start("a", name("a"), again=True), Start("b", name("b")))


def test_what_will_not_start_is_made_anew_of_the_image_that_is_there():
    wanted = [workload("a", pull_policy=PullPolicy.ALWAYS)]
    found = [container("a", status=Status.EXITED)]
    (staged,) = planning.to_stage(wanted, found, unstartable={"a"})
    assert staged.service.pull_policy is PullPolicy.IF_NOT_PRESENT


def test_what_is_made_anew_with_its_node_is_of_the_image_that_is_there():
    wanted = [workload("a", pull_policy=PullPolicy.ALWAYS)]
    (staged,) = planning.to_stage(wanted, [container("a", has_other_node=True)])
    assert staged.service.pull_policy is PullPolicy.IF_NOT_PRESENT


@pytest.mark.parametrize(
    ("policy", "status", "more", "is_made_anew"),
    [
        (RestartPolicy.ALWAYS, Status.RUNNING, {}, True),
        (RestartPolicy.ALWAYS, Status.EXITED, {}, True),
        (RestartPolicy.ALWAYS, Status.CREATED, {}, True),
        (RestartPolicy.ON_FAILURE, Status.RUNNING, {}, False),
        (RestartPolicy.ON_FAILURE, Status.EXITED, {"started": 1, "finished": 2}, False),
        (RestartPolicy.ON_FAILURE, Status.EXITED, {"started": 3, "finished": 1}, True),
        # It ended at once: podman notes its end before its start.
        (RestartPolicy.ON_FAILURE, Status.EXITED, {"started": 2, "finished": 1}, False),
        (RestartPolicy.ON_FAILURE, Status.EXITED, {"exit_code": 1}, True),
        (RestartPolicy.NEVER, Status.RUNNING, {}, False),
        (RestartPolicy.NEVER, Status.EXITED, {"exit_code": 1}, False),
        (RestartPolicy.NEVER, Status.CREATED, {"started": 1}, False),
        (RestartPolicy.NEVER, Status.CREATED, {}, True),  # it never ran
    ],
)
def test_who_has_another_node_is_made_anew_where_it_would_be_started_or_runs_for_good(
    policy: RestartPolicy, status: Status, more: dict[str, Any], is_made_anew: bool
):
    wanted = [workload("a", restart_policy=policy)]
    found = [container("a", status=status, restart_policy=policy, has_other_node=True, **more)]
    anew = (Remove("a", name("a")), Create("a", wanted[0]), Start("a", name("a")))
    assert planning.plan(wanted, found) == (anew if is_made_anew else ())
    assert len(planning.to_stage(wanted, found)) == is_made_anew


def test_who_is_unhealthy_with_another_node_is_made_anew_rather_than_restarted():
    policy = RestartPolicy.ON_FAILURE
    wanted = [workload("a", restart_policy=policy)]
    found = [container("a", restart_policy=policy, has_other_node=True)]
    planned = planning.plan(wanted, found, unhealthy={"a"})
    assert planned == (Remove("a", name("a")), Create("a", wanted[0]), Start("a", name("a")))
    assert planning.plan(wanted, found, unhealthy={"a"}, unstaged={"a"}) == ()


@pytest.mark.parametrize("status", [Status.RUNNING, Status.EXITED])
def test_who_can_not_have_its_other_node_yet_holds_up_no_other_and_is_not_started(status: Status):
    wanted = [workload("a"), workload("b", "d2")]
    found = [container("a", status=status, has_other_node=True), container("b")]
    planned = planning.plan(wanted, found, unstaged={"a"})
    assert planned == (Remove("b", name("b")), Create("b", wanted[1]), Start("b", name("b")))


def test_who_awaits_a_node_keeps_its_version_before_and_holds_up_no_other():
    wanted = [workload("a", "d2"), workload("b", "d2"), workload("c", "d2")]
    found = [container("a", status=Status.EXITED), container("b"), container("gone")]
    planned = planning.plan(wanted, found, unstaged={"a"}, awaiting={"a"})
    assert planned == (
        Remove("b", name("b")),
        Remove("gone", name("gone")),
        Create("b", wanted[1]),
        Create("c", wanted[2]),
        Start("a", name("a"), again=True),
        Start("b", name("b")),
        Start("c", name("c")),
    )
    held_up = planning.plan(wanted, found, unstaged={"a", "b"}, awaiting={"a"})
    assert [a for a in held_up if isinstance(a, Remove)] == []


@given(workloads(), found_containers(), st.data())
def test_while_an_image_is_missing_nothing_that_exists_is_taken_away(
    wanted: list[Workload], found: list[Container], data: st.DataObject
):
    same = {(c.service, c.digest) for c in found if c.has_other_node}
    staged = planning.to_stage(wanted, found)
    to_stage = [w.service.name for w in staged if (w.service.name, w.digest) not in same]
    if not to_stage:
        return
    unstaged = data.draw(st.sets(st.sampled_from(to_stage), min_size=1))
    world = World.of(found)
    for action in planning.plan(wanted, found, unstaged=unstaged):
        world.do(action)
    assert {c.id for c in found} <= {c.id for c in world.containers.values()}
    made = {c.service for c in world.containers.values()} - {c.service for c in found}
    assert not made & unstaged


@given(workloads(), found_containers())
def test_only_what_would_be_made_has_its_image_staged(
    wanted: list[Workload], found: list[Container]
):
    made = {a.service for a in planning.plan(wanted, found) if isinstance(a, Create)}
    assert {w.service.name for w in planning.to_stage(wanted, found)} == made


@given(found_containers())
def test_withdrawing_leaves_nothing(found: list[Container]):
    world = World.of(found)
    for action in planning.withdraw(found):
        world.do(action)
    assert not world.containers


@given(found_containers())
def test_keeping_removes_and_makes_nothing(found: list[Container]):
    world = World.of(found)
    for action in planning.keep(found):
        world.do(action)
    assert {c.id for c in world.containers.values()} == {c.id for c in found}


def test_a_change_frees_names_and_ports_before_it_asks_for_them():
    wanted = [workload("a", "d2"), workload("b", "d2")]
    found = [container("a"), container("b"), container("gone")]
    assert planning.plan(wanted, found) == (
        Remove("a", name("a")),
        Remove("b", name("b")),
        Remove("gone", name("gone")),
        Create("a", wanted[0]),
        Create("b", wanted[1]),
        Start("a", name("a")),
        Start("b", name("b")),
    )


def test_an_old_version_that_ended_is_started_while_the_new_image_is_missing():
    found = [container("a", status=Status.EXITED)]
    planned = planning.plan([workload("a", "d2")], found, unstaged={"a"})
    assert planned == (Start("a", name("a"), again=True),)


def test_a_new_service_need_not_wait_for_the_image_of_another():
    wanted = [workload("a", "d2"), workload("b")]
    planned = planning.plan(wanted, [container("a")], unstaged={"a"})
    assert planned == (Create("b", wanted[1]), Start("b", name("b")))


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts"),
    [
        (RestartPolicy.ALWAYS, 0, True),
        (RestartPolicy.ALWAYS, 1, True),
        (RestartPolicy.ON_FAILURE, 0, False),
        (RestartPolicy.ON_FAILURE, 1, True),
        (RestartPolicy.NEVER, 0, False),
        (RestartPolicy.NEVER, 1, False),
    ],
)
def test_the_policy_says_what_runs_again(policy: RestartPolicy, exit_code: int, restarts: bool):
    found = [container("a", status=Status.EXITED, restart_policy=policy, exit_code=exit_code)]
    wanted = [workload("a", restart_policy=policy)]
    expected = (Start("a", name("a"), again=True),) if restarts else ()
    assert planning.plan(wanted, found) == expected
    assert planning.keep(found) == expected


@pytest.mark.parametrize("status", [None, *Status])
def test_nothing_is_begun_about_a_service_that_ran(status: Status | None):
    found = [] if status is None else [container("a", status=status, exit_code=1)]
    wanted = [workload("a")]
    assert planning.to_stage(wanted, found, ran={"a"}) == ()
    assert planning.plan(wanted, found, ran={"a"}) == ()
    assert planning.keep(found, ran={"a"}) == ()


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED])
@pytest.mark.parametrize("policy", RestartPolicy)
def test_what_a_power_cut_interrupted_is_started_unless_it_never_runs_twice(
    status: Status, policy: RestartPolicy
):
    found = [container("a", status=status, restart_policy=policy, started=10)]
    starts = () if policy is RestartPolicy.NEVER else (Start("a", name("a"), again=False),)
    again = tuple(Start(s.service, s.container, again=status is Status.EXITED) for s in starts)
    assert planning.plan([workload("a", restart_policy=policy)], found) == again
    assert planning.keep(found) == again


def test_a_service_that_ran_and_is_no_longer_wanted_goes():
    assert planning.plan([], [container("a")], ran={"a"}) == (Remove("a", name("a")),)


def test_what_is_to_be_replaced_and_never_began_is_not_started_meanwhile():
    wanted = [workload("a", "new"), workload("b", "new")]
    found = [
        container("a", "old", Status.CREATED),
        container("b", "old", Status.CREATED, started=5),
    ]
    assert planning.plan(wanted, found, unstaged={"a"}) == (Start("b", name("b")),)
