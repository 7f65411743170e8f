"""Containers that die, won't start or can't be removed, again and again: in virtual time."""

import asyncio

import pytest

from fleet import errors
from fleet.agent.deployments.restart_backoff import SETTLED_SECONDS, STEADY_SECONDS, RestartBackoff
from fleet.agent.runtimes.port import Container, Status
from fleet.bus.memory import MemoryServer
from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.unit.agent.deployments.test_loop import app, holds, play
from tests.unit.agent.world import FakeRuntime, container, name


async def die(runtime: FakeRuntime, *, after: int, exit_code: int = 3) -> None:
    """Let `a` run for so many seconds, and end."""
    await asyncio.sleep(after)
    runtime.kill(name("a"), after=after, exit_code=exit_code)
    await holds(lambda: name("a") in runtime.running(), "it runs again")


def death(number: int, ran_for: int) -> Container:
    """The n-th end of `a`, after so many seconds."""
    started = 10_000 * number
    ended = {"started": started, "finished": started + ran_for, "exit_code": 1}
    return container("a", "d1", Status.EXITED, **ended)


def test_a_service_that_dies_every_twenty_seconds_fails_until_it_has_run_for_twice_as_long():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        for _death in range(2):
            await die(runtime, after=20)
            await hub.reaches("web", Phase.RUNNING)
        for _death in range(2):
            await die(runtime, after=20)
            await hub.reaches("web", Phase.FAILED, reason="CrashLoop")
        await die(runtime, after=20)
        state = await hub.reaches("web", Phase.FAILED, reason="CrashLoop")
        assert state.error
        assert "it exited with 3 within 20 s of its start, " in state.error.message
        await asyncio.sleep(38)
        await hub.reaches("web", Phase.FAILED, reason="CrashLoop")
        await hub.reaches("web", Phase.RUNNING, within=35)  # written rarely by now
        await die(runtime, after=1)
        await hub.reaches("web", Phase.RUNNING)

    play(scenario)


@pytest.mark.parametrize(("begun", "longest"), [(True, 3.0), (False, STEADY_SECONDS)])
def test_a_clock_that_is_set_during_a_run_makes_it_no_longer_than_it_was(
    begun: bool,
    longest: float,
):
    records = RestartBackoff(lambda: 0.5)
    records.expect({"a": "d1"})
    if begun:
        records.started("a", 0.0, again=False)

    records.look([death(0, 1_700_000_000)], 3.0)

    assert records.records["a"].longest == longest


@pytest.mark.parametrize(
    ("runs", "steady"),
    [((0, 0, 0), SETTLED_SECONDS), ((4, 6, 9), 18), ((300, 500, 500), STEADY_SECONDS)],
)
def test_a_run_is_steady_that_is_twice_as_long_as_those_before_within_bounds(
    runs: tuple[int, ...], steady: float
):
    records = RestartBackoff(lambda: 0.5)
    records.expect({"a": "d1"})
    for number, ran_for in enumerate(runs):
        records.look([death(number, ran_for)], 0.0)
    records.started("a", 0.0, again=True)
    assert not records.is_settled("a", steady - 1)
    assert records.next_look(steady - 1) == steady
    records.look([container("a")], steady)
    assert records.is_settled("a", steady)
    assert records.records["a"].deaths == 0


def test_deaths_after_steady_runs_are_not_in_a_row():
    records = RestartBackoff(lambda: 0.5)
    records.expect({"a": "d1"})
    for number in range(5):
        records.look([death(number, int(STEADY_SECONDS))], 0.0)
    assert not records.records["a"].is_failing


def test_a_container_that_will_not_start_is_made_anew():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.unstartable.add("made-1")
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        assert runtime.calls.count(f"create {name('a')}") == 2

    play(scenario)


def test_one_that_the_device_would_refuse_to_make_again_is_kept_and_started():
    """As it is after an upgrade that forbids what a container of before mounts."""

    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        made = runtime.world.containers[name("a")].id
        forbidden = errors.HostPathForbidden("/ is the agent's")
        runtime.failures[f"check {name('a')}"] = forbidden
        runtime.failures[f"create {name('a')}"] = forbidden
        runtime.unstartable.add(made)
        runtime.kill(name("a"))
        starts = f"start {name('a')}"
        await holds(lambda: runtime.calls.count(starts) > 5, "it is tried again", within=60)
        runtime.unstartable.clear()
        await hub.reaches("web", Phase.RUNNING, within=60)
        assert runtime.world.containers[name("a")].id == made

    play(scenario)


def test_one_that_fails_by_something_else_is_not():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        runtime.failures[f"start {name('a')}"] = errors.PortInUse("80 is taken")
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.FAILED, reason="PortInUse")
        starts = f"start {name('a')}"
        await holds(lambda: runtime.calls.count(starts) > 4, "it is tried again", within=60)
        assert runtime.calls.count(f"create {name('a')}") == 1

    play(scenario)


def test_an_old_version_that_can_not_be_removed_is_kept_alive_and_the_reason_stands():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)
        in_use = errors.ContainerInUse("probe depends on it")
        runtime.failures[f"remove {name('a')}"] = in_use
        revision = await hub.deploy("web", app("a", env={"NEW": "1"}))
        await hub.reaches("web", Phase.FAILED, reason="ContainerInUse", revision=revision)
        old = runtime.world.containers[name("a")].id
        for _death in range(10):
            await asyncio.sleep(0.3)
            runtime.kill(name("a"))
            await holds(lambda: name("a") in runtime.running(), "it runs again", within=0.1)
        assert runtime.world.containers[name("a")].id == old
        await hub.reaches("web", Phase.FAILED, reason="ContainerInUse", revision=revision)
        runtime.failures.clear()
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=120)

    play(scenario)


def test_what_a_failed_removal_stopped_is_started_again_at_once():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"))
        await hub.reaches("web", Phase.RUNNING)

        async def stop_only(container: str) -> None:
            runtime.world.end(container, 0)
            raise errors.ContainerFailed("its storage is busy")

        runtime.remove = stop_only  # type: ignore[method-assign]  # a spy on our own fake
        revision = await hub.deploy("web", app("a", env={"NEW": "1"}))
        state = await hub.reaches("web", Phase.FAILED, revision=revision)
        assert state.error
        assert "busy" in state.error.message
        await holds(lambda: name("a") in runtime.running(), "it runs again", within=0.1)

    play(scenario)


def test_why_a_container_could_not_be_removed_stands_until_it_could():
    records = RestartBackoff(lambda: 0.5)
    records.expect({"a": "d2"})
    records.not_removed("a", errors.ContainerInUse("probe depends on it"), 0.0)
    records.started("a", 0.5, again=True)
    assert records.records["a"].error
    records.started("a", 2.0, again=False)
    assert not records.records["a"].error


def test_a_withdrawal_amid_the_removal_of_one_service_stops_the_others_meanwhile():
    async def scenario(runtime: FakeRuntime, hub: Hub, _: MemoryServer) -> None:
        await hub.deploy("web", app("a"), app("b"))
        await hub.reaches("web", Phase.RUNNING)
        runtime.stop_seconds = 60
        await hub.deploy("web", app("a", env={"NEW": "1"}), app("b"))
        removal = f"remove {name('a')}"
        await holds(lambda: removal in runtime.calls, "a is being stopped")
        await hub.withdraw("web")
        await hub.is_gone("web", within=62)

    play(scenario)
