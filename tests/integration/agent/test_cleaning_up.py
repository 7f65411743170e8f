"""A container that ended is started once podman has cleaned up after it: with a new network."""

import asyncio
import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.port import Status
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.test_podman import workload
from tests.podman_host import ULIMITS, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

NEVER = 3600.0
SOON = 0.3
# In the place of the podman that served when conmon was told what to run once a container ends.
HELD = """#!/bin/sh
while ! test -e {go}; do sleep 0.05; done
exec {podman} "$@"
"""


class Held:
    """A podman that doesn't clean up after its containers before it may."""

    def __init__(self, host: PodmanHost, directory: Path) -> None:
        self.socket = f"unix://{directory}/podman.sock"
        self._host = host
        self._go = directory / "go"
        found = shutil.which("podman")
        assert found
        program = directory / "podman"
        shutil.copy2(found, program)
        self._service = subprocess.Popen(
            host.enter(str(program), "system", "service", "--time=0", self.socket),
            env=host.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        draft = directory / "held"
        draft.write_text(HELD.format(go=self._go, podman=found))
        draft.chmod(0o755)
        self._draft, self._program = draft, program

    def hold(self) -> None:
        """From now on, nobody cleans up."""
        self._draft.replace(self._program)

    def let_go(self) -> None:
        """Whoever was to clean up does it now."""
        self._go.touch()

    def state(self, container: str) -> str:
        """Podman's word for the state of *container*."""
        return self._host.podman("container", "inspect", "--format={{.State.Status}}", container)

    def close(self) -> None:
        """End it."""
        self.let_go()
        self._service.kill()
        self._service.wait()


@pytest.fixture
def held(host: PodmanHost, tmp_path: Path) -> Iterator[Held]:
    """Such a podman."""
    made = Held(host, tmp_path)
    yield made
    made.close()


async def killed(host: PodmanHost, held: Held, runtime: PodmanRuntime) -> str:
    """A container that was killed, and that nobody has cleaned up after."""
    made = workload()

    async def is_there() -> bool:
        with contextlib.suppress(errors.RuntimeUnavailable):
            return bool(await runtime.version())
        return False

    await eventually(is_there, "podman answers")
    await runtime.create(made)
    await runtime.start(made.name)
    held.hold()
    host.podman("kill", made.name)

    async def has_ended() -> bool:
        return held.state(made.name) == "stopped"

    await eventually(has_ended, "it has ended")
    return made.name


async def test_a_container_is_not_started_before_podman_has_cleaned_up_after_it(
    host: PodmanHost, held: Held
):
    options = Options(socket=held.socket, ulimits=ULIMITS, cleanup_within=NEVER)
    runtime = PodmanRuntime(DEVICE, options)
    name = await killed(host, held, runtime)

    start = asyncio.create_task(runtime.start(name))
    (seen,) = await runtime.observe()
    assert seen.status is Status.EXITED
    held.let_go()
    await start

    (seen,) = await runtime.observe()
    assert seen.status is Status.RUNNING
    said = host.podman("events", "--stream=false", f"--filter=container={seen.id}", "--format=json")
    told = [json.loads(line)["Status"] for line in said.splitlines()]
    assert told[told.index("died") :][1:] == ["cleanup", "init", "start"]
    runtime.close()


async def test_where_podman_never_cleans_up_a_restart_makes_the_network_anew(
    host: PodmanHost, held: Held
):
    options = Options(socket=held.socket, ulimits=ULIMITS, stop_timeout=1, cleanup_within=SOON)
    runtime = PodmanRuntime(DEVICE, options)
    name = await killed(host, held, runtime)

    with capture_logs() as logs:
        await runtime.start(name)

    assert [log["container"] for log in logs if "clean up" in log["event"]] == [name]
    (seen,) = await runtime.observe()
    assert seen.status is Status.RUNNING
    runtime.close()
