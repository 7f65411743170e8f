"""What an agent does after an end that nobody planned: real NATS, real podman, a real disk."""

import asyncio
import contextlib
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.journal.files import FileStore
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from tests.integration.agent.agent_process import AgentProcess, make_agent, operator_side
from tests.integration.agent.test_deploying import sleeper
from tests.nats_server import NatsServer
from tests.podman_host import PodmanHost, podman_host
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


async def runs(host: PodmanHost, *names: str) -> None:
    """Wait until just these containers run."""

    async def look() -> bool:
        listed = await asyncio.to_thread(host.podman, "ps", "--format={{.Names}}")
        return set(listed.split()) == set(names)

    await eventually(look, f"just {names} run", within=40)


async def reports(agent: AgentProcess, reason: str, *, within: float = 30) -> str:
    """Wait until the agent has a problem; return its message."""

    async def look() -> str:
        code, printed = await agent.ask("status", "--format", "json")
        if code == 3:
            return ""
        problems = {p["reason"]: p["message"] for p in json.loads(printed)["problems"]}
        return str(problems.get(reason, ""))

    return await eventually(look, f"{reason} is reported", within=within)


async def test_an_agent_started_without_the_hub_repairs_a_removed_container(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        revision = await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, within=40)
    nats_hub.stop()
    await agent.end(signal.SIGKILL)
    host.podman("rm", "--force", "--time=0", "fleet.web.a")

    await agent.start()
    await runs(host, "fleet.web.a", "fleet.web.b")
    nats_hub.start()
    async with operator_side(nats_hub) as hub:
        await hub.reaches("web", Phase.RUNNING, revision=revision, within=40)
    assert await agent.end() == 0, agent.output()


async def test_a_device_that_reboots_out_of_the_hubs_reach_runs_everything_again(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a", ports=[{"host": 8080, "container": 80}]))
        await hub.deploy("other", sleeper("b", networkMode="host"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        await hub.reaches("other", Phase.RUNNING, within=40)
    nats_hub.stop()
    await agent.end(signal.SIGKILL)
    await asyncio.to_thread(host.reboot)
    assert host.podman("ps", "--format={{.Names}}") == ""

    await agent.start()
    await runs(host, "fleet.web.a", "fleet.other.b")
    assert await agent.end() == 0, agent.output()


async def test_a_damaged_journal_is_set_aside_told_and_rebuilt(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost, tmp_path: Path
):
    nats_hub.start()
    await agent.start()
    journal = tmp_path / "state" / "journal"
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.deploy("other", sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        await hub.reaches("other", Phase.RUNNING, within=40)
        before = host.containers()
        await agent.end(signal.SIGKILL)
        whole = (journal / "web.entry").read_bytes()
        (journal / "web.entry").write_bytes(whole[:-20])

        await agent.start()
        message = await reports(agent, "DamagedJournal")

        async def is_rebuilt() -> bool:
            return (journal / "web.entry").exists()

        await eventually(is_rebuilt, "the entry is there again", within=30)
    assert str(journal / "web.entry.damaged-1") in message
    assert (journal / "web.entry").read_bytes() == whole
    assert host.containers() == before
    assert await agent.end() == 0, agent.output()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The agent's state directory, on a file system of 64 KiB."""
    state = tmp_path / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(state)], check=True)
    yield state
    subprocess.run(["umount", "--lazy", str(state)], check=True)


def remount_read_only(path: Path) -> None:
    """Do what a kernel does that no longer trusts a disk."""
    subprocess.run(["mount", "-o", "remount,ro", str(path)], check=True)


async def test_a_full_disk_under_the_journal_is_told_and_stops_nothing(
    nats_hub: NatsServer, agent: AgentProcess, host: PodmanHost, small_disk: Path
):
    filler = small_disk / "filler"
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("one", sleeper("a"))
        await hub.reaches("one", Phase.RUNNING, within=40)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        await hub.deploy("two", sleeper("b"))
        await hub.reaches("two", Phase.RUNNING, within=40)
        assert "No space left on device" in await reports(agent, "JournalUnavailable")

        filler.unlink()

        async def is_over() -> bool:
            code, _ = await agent.ask("status")
            return code == 0

        await eventually(is_over, "the problem is over", within=60)
    nats_hub.stop()
    await agent.end(signal.SIGKILL)
    host.podman("rm", "--force", "--time=0", "fleet.one.a", "fleet.two.b")
    await agent.start()
    await runs(host, "fleet.one.a", "fleet.two.b")
    assert await agent.end() == 0, agent.output()


async def test_a_disk_that_turned_read_only_is_told_and_read_on(small_disk: Path):
    web = DeploymentName("web")
    store = FileStore(small_disk / "journal")
    await store.put(web, b"content")
    await asyncio.to_thread(remount_read_only, small_disk)
    with pytest.raises(errors.JournalUnavailable, match="Read-only file system"):
        await store.put(web, b"other")
    assert (await store.load()).content == {web: b"content"}
    assert await store.set_aside(web) == str(small_disk / "journal" / "web.entry")


async def test_status_tells_how_the_device_fares_also_when_no_agent_runs(
    nats_hub: NatsServer, agent: AgentProcess, tmp_path: Path
):
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        revision = await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        code, table = await agent.ask("status")
        assert code == 0
        assert f"{nats_hub.url} connected since" in table
        assert f"web         Running  {revision[:12]}  a        running  0" in table

        await hub.deploy("bad", sleeper("a", image="localhost/none:1", pullPolicy="Never"))
        await hub.reaches("bad", Phase.FAILED, within=40)
        code, table = await agent.ask("status")
        assert code == 1
        assert "bad: a: ImageNotFound: " in table

    await agent.end(signal.SIGKILL)
    code, table = await agent.ask("status")
    assert code == 3
    assert "agent    does not answer" in table
    assert f"web         ?      {revision[:12]}" in table
    code, text = await agent.ask("status", "--format", "json")
    assert (code, json.loads(text)["is_running"]) == (3, False)


async def test_a_second_agent_on_the_same_device_does_not_start(
    nats_hub: NatsServer, agent: AgentProcess
):
    await agent.start()

    async def answers() -> bool:
        code, _ = await agent.ask("status")
        return code != 3

    await eventually(answers, "the first one answers", within=30)
    assert await agent.ask() == (75, "")
    assert await agent.end() == 0, agent.output()


@pytest.fixture
async def twin(
    nats_hub: NatsServer, tmp_path: Path
) -> AsyncIterator[tuple[AgentProcess, PodmanHost]]:
    """An agent of the same id on another device; not started."""
    (tmp_path / "twin").mkdir()
    with podman_host() as host:
        made = make_agent(nats_hub, host, tmp_path / "twin")
        yield made, host
        if made.process and made.process.returncode is None:
            await made.end(signal.SIGKILL)


async def test_two_agents_with_one_id_notice_each_other_and_neither_loses_anything(
    nats_hub: NatsServer,
    agent: AgentProcess,
    host: PodmanHost,
    twin: tuple[AgentProcess, PodmanHost],
):
    other, other_host = twin
    nats_hub.start()
    await agent.start()
    async with operator_side(nats_hub) as hub:
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, within=40)
        before = host.containers()
        await other.start()
        await runs(other_host, "fleet.web.a")
        for each in (agent, other):
            assert "dev-01" in await reports(each, "DuplicateAgent", within=60)

        async def is_told() -> bool:
            info = await hub.info()
            return info is not None and [p.reason for p in info.problems] == ["DuplicateAgent"]

        await eventually(is_told, "the hub is told", within=30)
        assert host.containers() == before
        assert await other.end() == 0, other.output()
    assert await agent.end() == 0, agent.output()
    assert host.containers() == before
