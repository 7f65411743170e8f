"""The adapter over a real podman: what it shows, what it leaves alone, and how it lets go."""

import asyncio
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import PullPolicy
from tests.integration.agent.agent_process import DEVICE
from tests.podman_host import IMAGE, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

WEB = DeploymentName("web")
SILENT_PORT = 5099


def workload(name: str = "a", deployment: DeploymentName = WEB, digest: str = "d1") -> Workload:
    """A service that sleeps."""
    service = scores.Service(name=name, image=IMAGE, command=("/bin/sleep",), args=("1000",))
    return Workload(deployment, service, digest)


@pytest.fixture
def silent_registry(host: PodmanHost) -> Iterator[str]:
    """Something that takes connections and never says a word; an image reference in it."""
    listener = subprocess.Popen(
        host.enter("busybox", "nc", "-lk", "-p", str(SILENT_PORT), "-e", "/bin/sleep", "1000")
    )
    yield f"127.0.0.1:{SILENT_PORT}/busybox:1"
    listener.kill()
    listener.wait()


def pulling_threads() -> list[str]:
    """The threads that transfer images now."""
    return [t.name for t in threading.enumerate() if t.name == "podman-pull"]


async def test_a_container_is_seen_through_its_whole_life(runtime: PodmanRuntime):
    made = workload()
    await runtime.create(made)
    (created,) = await runtime.observe(WEB)
    assert (created.name, created.digest, created.status) == (made.name, "d1", Status.CREATED)
    assert created.image.startswith("sha256:")

    await runtime.start(made.name)
    await runtime.start(made.name)
    (running,) = await runtime.observe()
    assert (running.id, running.status) == (created.id, Status.RUNNING)
    assert running.started > 0

    await runtime.remove(made.name)
    await runtime.remove(made.name)
    assert await runtime.observe() == ()


async def test_an_exit_code_and_the_time_it_ran_are_seen(runtime: PodmanRuntime):
    service = scores.Service(
        name="a",
        image=IMAGE,
        command=("/bin/sh", "-c", "sleep 1; exit 3"),
        restart_policy=scores.RestartPolicy.ON_FAILURE,
    )
    made = Workload(WEB, service, "d1")
    await runtime.create(made)
    await runtime.start(made.name)

    async def ended() -> Container | None:
        (found,) = await runtime.observe()
        return found if found.status is Status.EXITED else None

    found = await eventually(ended, "it has ended")
    assert found.exit_code == 3
    assert found.ran_for in (1, 2)
    assert found.restart_policy is scores.RestartPolicy.ON_FAILURE


async def test_only_the_deployment_asked_for_is_shown(runtime: PodmanRuntime):
    for deployment in ("web", "other"):
        await runtime.create(workload(deployment=DeploymentName(deployment)))
    assert [c.deployment for c in await runtime.observe(WEB)] == ["web"]
    assert [c.deployment for c in await runtime.observe()] == ["other", "web"]


async def test_what_only_looks_like_ours_is_not_shown(host: PodmanHost, runtime: PodmanRuntime):
    labels = {
        containers.LABEL_DEVICE: DEVICE,
        containers.LABEL_DEPLOYMENT: WEB,
        containers.LABEL_SERVICE: "a",
        containers.LABEL_DIGEST: "d1",
    }
    arguments = [f"--label={key}={value}" for key, value in labels.items()]
    host.podman("create", "--name=copy", *arguments, IMAGE)
    arguments[0] = f"--label={containers.LABEL_DEVICE}=dev-02"
    host.podman("create", "--name=fleet.web.a", *arguments, IMAGE)
    assert await runtime.observe() == ()
    with pytest.raises(errors.NameTaken):
        await runtime.create(workload())
    with pytest.raises(errors.NameTaken):
        await runtime.remove("fleet.web.a")
    assert set(host.containers()) == {"copy", "fleet.web.a"}


async def test_an_image_that_may_not_be_pulled_has_to_be_there(runtime: PodmanRuntime):
    await runtime.fetch(IMAGE, PullPolicy.NEVER)
    await runtime.fetch(IMAGE, PullPolicy.IF_NOT_PRESENT)
    with pytest.raises(errors.ImageNotFound):
        await runtime.fetch("localhost/none:1", PullPolicy.NEVER)


async def test_an_image_that_vanished_is_told_at_creation(runtime: PodmanRuntime):
    service = scores.Service(name="a", image="localhost/none:1")
    with pytest.raises(errors.ImageNotFound):
        await runtime.create(Workload(WEB, service, "d1"))


async def test_a_pull_that_is_cancelled_lets_go_of_its_connection(
    runtime: PodmanRuntime, silent_registry: str
):
    pull = asyncio.create_task(runtime.fetch(silent_registry, PullPolicy.ALWAYS))

    async def is_pulling() -> bool:
        return bool(pulling_threads())

    await eventually(is_pulling, "the transfer has begun")
    pull.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(1):
            await pull

    async def has_let_go() -> bool:
        return not pulling_threads()

    await eventually(has_let_go, "the thread has ended", within=5)


async def test_a_check_that_hangs_and_cannot_be_ended_is_not_begun_twice(
    host: PodmanHost, runtime: PodmanRuntime
):
    # The process isn't known by the command of the check any more.
    check = scores.Healthcheck(command=("/bin/sh", "-c", "exec sleep 987"), timeout=1)
    service = scores.Service(
        name="a", image=IMAGE, command=("/bin/sleep",), args=("1000",), healthcheck=check
    )
    made = Workload(WEB, service, "d1")
    await runtime.create(made)
    await runtime.start(made.name)
    for _ in range(3):
        result = await runtime.probe(made.name, 0.3)
        assert not result.passed
        assert "did not end" in result.output
    assert host.podman("top", made.name, "args").count("sleep 987") == 1
    await runtime.restart(made.name)
    (found,) = await runtime.observe()
    assert (found.status, found.health) == (Status.RUNNING, "starting")


async def test_a_check_of_what_does_not_run_says_nothing(runtime: PodmanRuntime):
    await runtime.create(workload())
    with pytest.raises(errors.ContainerFailed):
        await runtime.probe(workload().name, 1)
    with pytest.raises(errors.ContainerFailed):
        await runtime.restart("fleet.web.none")


@contextlib.asynccontextmanager
async def following(runtime: PodmanRuntime) -> AsyncIterator["asyncio.Queue[object]"]:
    """Collect what the runtime says of changes, and how the stream ends."""
    said: asyncio.Queue[object] = asyncio.Queue()

    async def follow() -> None:
        try:
            async for deployment in runtime.changes():
                said.put_nowait(deployment)
        except errors.RuntimeUnavailable as exc:
            said.put_nowait(exc)

    task = asyncio.create_task(follow())
    try:
        yield said
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_container_that_lost_its_storage_in_a_power_cut_is_removed_and_made_anew(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = workload()
    await runtime.create(made)
    await runtime.start(made.name)
    host.podman("kill", made.name)
    host.lose_storage(made.name)
    with pytest.raises(errors.ContainerFailed):
        await runtime.start(made.name)

    await runtime.remove(made.name)
    await runtime.create(made)
    await runtime.start(made.name)

    (running,) = await runtime.observe()
    assert running.status is Status.RUNNING


async def test_a_death_and_a_removal_are_said_of_their_deployment(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = workload()
    async with following(runtime) as said:
        assert await said.get() is None
        await runtime.create(made)
        await runtime.start(made.name)
        host.podman("kill", made.name)
        assert await said.get() == WEB
        host.podman("rm", made.name)
        assert await said.get() == WEB


async def test_a_service_that_goes_away_is_told_and_found_again(
    host: PodmanHost, runtime: PodmanRuntime
):
    assert (await runtime.version()).startswith("4.")
    await runtime.create(workload())
    async with following(runtime) as said:
        assert await said.get() is None
        host.stop()
        assert isinstance(await said.get(), errors.RuntimeUnavailable)
    for call in (runtime.version(), runtime.observe(), runtime.start("x"), runtime.remove("x")):
        with pytest.raises(errors.RuntimeUnavailable):
            await call
    host.start()
    assert len(await runtime.observe()) == 1


async def test_a_service_that_hangs_is_given_up_on(host: PodmanHost):
    runtime = PodmanRuntime(DEVICE, Options(socket=host.socket, timeout=0.5))
    service = host.processes[-1]
    await runtime.version()
    service.send_signal(signal.SIGSTOP)
    # Its threads run on for a moment.
    await asyncio.to_thread(os.waitid, os.P_PID, service.pid, os.WSTOPPED)
    try:
        with pytest.raises(errors.RuntimeUnavailable):
            async with asyncio.timeout(5):
                await runtime.version()
    finally:
        service.send_signal(signal.SIGCONT)
    assert await runtime.version()
    runtime.close()


async def test_a_socket_that_is_not_there_is_told():
    runtime = PodmanRuntime(DEVICE, Options(socket="unix:///nowhere/podman.sock"))
    with pytest.raises(errors.RuntimeUnavailable, match=r"/nowhere/podman\.sock"):
        await runtime.version()
    with pytest.raises(errors.RuntimeUnavailable):
        async for _ in runtime.changes():
            pass
    runtime.close()
