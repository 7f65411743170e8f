"""A start that finds its port taken names who has it, or wants it: `PodmanRuntime.start`."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import PodmanRuntime
from tests.unit.agent.runtimes.podman.api import test_odd_answers
from tests.unit.agent.runtimes.podman.api.test_odd_answers import PORT, Podman, row

podman, runtime = test_odd_answers.podman, test_odd_answers.runtime

START = "/containers/fleet.me.app/start"
TAKEN = {"message": "cannot listen on the TCP port: bind: address already in use"}
DOWN = {"State": "created", "Pid": 0}


@pytest.fixture
def port() -> Iterator[int]:
    """A port that this process listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


async def told(podman: Podman, runtime: PodmanRuntime, *others: dict[str, Any], port: int) -> str:
    """Start a container whose port is taken, beside *others*; return what is said."""
    wanted = {"Ports": [{**PORT, "host_port": port}]}
    podman.answers |= {START: TAKEN}
    podman.answers["/containers/json"] = [row(**other) | wanted for other in others] + [
        row("me", **DOWN) | wanted
    ]
    podman.broken = {START}
    with pytest.raises(errors.PortInUse) as refusal:
        await runtime.start("fleet.me.app")
    return str(refusal.value)


async def test_a_deployment_that_wants_the_port_and_has_not_started_is_named(
    podman: Podman, runtime: PodmanRuntime
):
    """podman holds the port after a start of it that failed; here nobody can be seen to."""
    said = await told(podman, runtime, {"deployment": "first", **DOWN}, port=1)
    assert "1/tcp is taken by deployment first (container fleet.first.app), which has not" in said


async def test_who_runs_goes_before_who_only_wants(podman: Podman, runtime: PodmanRuntime):
    others = {"deployment": "idle", **DOWN}, {"deployment": "running"}
    said = await told(podman, runtime, *others, port=1)
    assert "taken by deployment running (container fleet.running.app);" in said


async def test_a_process_that_has_the_port_goes_before_who_only_wants_it(
    podman: Podman, runtime: PodmanRuntime, port: int
):
    said = await told(podman, runtime, {"deployment": "idle", **DOWN}, port=port)
    assert "is taken by process" in said


async def test_where_nobody_is_seen_podman_has_the_word(podman: Podman, runtime: PodmanRuntime):
    assert "address already in use" in await told(podman, runtime, port=1)
