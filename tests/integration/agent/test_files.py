"""Literal files of services on a real podman: what is in the container, and what on the device."""

import contextlib
import shutil
import stat
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeviceId
from tests.agent_device import Hub
from tests.integration.agent.conftest import Start, make_runtime
from tests.integration.agent.test_deploying import sleeper
from tests.integration.agent.test_podman_fields import inside, run, workload
from tests.podman_host import ULIMITS, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

CONF = {"path": "/etc/app/app.conf", "content": "grüß = dich\n"}
SCRIPT = {"path": "/run.sh", "content": "echo hello\n", "mode": "0555"}


@pytest.fixture(autouse=True)
def nothing_kept(host: PodmanHost) -> None:
    """Other tests' containers went without their agent."""
    shutil.rmtree(host.root / "files", ignore_errors=True)


def kept(host: PodmanHost) -> list[str]:
    """List what is kept of files on the device, by content."""
    return sorted(path.read_text() for path in (host.root / "files").glob("*/*"))


async def test_files_are_there_with_their_content_and_mode_and_cannot_be_written(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = await run(runtime, workload(files=[CONF, SCRIPT], user="1000", readOnlyRootfs=True))
    assert inside(host, made, "cat /etc/app/app.conf") == "grüß = dich"
    assert (
        inside(host, made, "/bin/sh /run.sh; /bin/busybox stat -c %a:%u /run.sh") == "hello\n555:0"
    )
    root = await run(runtime, workload(name="b", files=[CONF]))
    for script in ("echo x > /etc/app/app.conf", "/bin/busybox chmod 777 /etc/app/app.conf"):
        assert "Read-only file system" in inside(host, root, script)
    assert "busy" in inside(host, root, "/bin/busybox rm /etc/app/app.conf")


async def test_a_file_that_is_for_root_alone_is_read_by_no_other_user(
    host: PodmanHost, runtime: PodmanRuntime
):
    secret = [{**CONF, "mode": "0400"}]
    made = await run(runtime, workload(files=secret, user="1000"))
    assert "Permission denied" in inside(host, made, "cat /etc/app/app.conf")


async def test_on_the_device_files_are_the_agents_alone_and_go_with_their_container(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = await run(runtime, workload(files=[CONF]))
    (file,) = (host.root / "files").glob("*/*")
    for directory in (file.parent, file.parent.parent):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert directory.stat().st_uid == 0
    await runtime.remove(made.name)
    assert not file.parent.exists()


async def test_another_content_makes_the_container_anew_and_leaves_nothing_of_the_one_before(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a", files=[CONF]), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        other = {**CONF, "content": "other\n"}
        revision = await hub.deploy("web", sleeper("a", files=[other]), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        after = host.containers()
        assert host.podman("exec", "fleet.web.a", "/bin/cat", CONF["path"]) == "other"
        assert kept(host) == ["other\n"]
        assert before["fleet.web.a"] != after["fleet.web.a"]
        assert before["fleet.web.b"] == after["fleet.web.b"]
        await hub.withdraw("web")
        await hub.is_gone("web")
    assert kept(host) == []


async def test_files_are_there_after_a_reboot(hub: Hub, host: PodmanHost, start_agent: Start):
    async with start_agent():
        await hub.deploy("web", sleeper("a", files=[CONF]))
        await hub.reaches("web", Phase.RUNNING)
    host.reboot()
    async with start_agent():
        await hub.reaches("web", Phase.RUNNING, running="a")

        async def is_read() -> bool:
            said = host.podman("exec", "fleet.web.a", "/bin/cat", CONF["path"], check=False)
            return said == "grüß = dich"

        await eventually(is_read, "the file is read in the container")


async def test_files_that_were_lost_are_written_anew_with_their_container(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a", files=[CONF]))
        await hub.reaches("web", Phase.RUNNING)
        shutil.rmtree(host.root / "files")
        host.podman("kill", "fleet.web.a")

        async def is_back() -> bool:
            said = host.podman("exec", "fleet.web.a", "/bin/cat", CONF["path"], check=False)
            return said == "grüß = dich"

        await eventually(is_back, "the file is there again", within=30)


async def test_what_a_killed_agent_left_goes_once_the_next_one_looks(
    host: PodmanHost, runtime: PodmanRuntime
):
    await run(runtime, workload(files=[CONF]))
    left = host.root / "files" / "0123abc"
    left.mkdir()
    (left / "0").write_text("left")
    with make_runtime(host) as other:
        await other.sweep()
    assert kept(host) == [CONF["content"]]


async def test_what_is_left_of_a_container_that_a_person_removed_goes_with_the_next_sweep(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = await run(runtime, workload(files=[CONF]))
    await run(runtime, workload(name="b", files=[SCRIPT]))
    host.podman("rm", "--force", "--time=0", made.name)
    await runtime.remove(made.name)
    assert kept(host) == sorted([SCRIPT["content"], CONF["content"]])
    await runtime.sweep()
    assert kept(host) == [SCRIPT["content"]]


async def test_a_container_that_cannot_be_made_leaves_no_files(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = workload(files=[CONF], volumes=[{"hostPath": "/nowhere", "mountPath": "/data"}])
    with pytest.raises(errors.HostPathMissing):
        await runtime.create(made)
    assert kept(host) == []


async def test_files_that_cannot_be_written_are_told_and_nothing_is_made(
    host: PodmanHost, tmp_path: Path
):
    (tmp_path / "file").touch()
    told = pytest.raises(errors.FilesUnavailable, match=r"can't be written below .*see to the")
    with make_runtime(host, files=tmp_path / "file" / "below") as runtime, told:
        await runtime.create(workload(files=[CONF]))
    assert host.containers() == {}


async def test_an_agent_that_lost_its_journal_removes_no_files_of_the_id_before(
    host: PodmanHost, runtime: PodmanRuntime
):
    await run(runtime, workload(files=[CONF]))
    options = Options(socket=host.socket, ulimits=ULIMITS, files=host.root / "files")
    with contextlib.closing(PodmanRuntime(DeviceId("renamed"), options)) as other:
        assert await other.observe() == ()
        await other.sweep()
    assert kept(host) == [CONF["content"]]
