"""Device nodes of services on a real podman: waited for, had by one, and no way round the rules."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import PodmanRuntime
from fleet.contracts.messages import Phase
from tests import device_nodes
from tests.agent_device import Hub
from tests.device_nodes import FULL, LOOP_CONTROL, MEMORY, Nodes
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import script, sleeper
from tests.integration.agent.test_podman_fields import OTHER, inside, inspect, run, workload
from tests.podman_host import PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with device_nodes.nodes() as made:
        yield made


async def test_a_service_uses_its_node_where_its_score_says(
    host: PodmanHost, runtime: PodmanRuntime, nodes: Nodes
):
    nodes.plug("tty0")
    (link := nodes.directory / "by-id").symlink_to("tty0")
    wanted = [{"path": str(link), "containerPath": "/dev/modem"}]
    made = await run(runtime, workload(devices=wanted))
    read = "/bin/busybox head -c 3 /dev/modem | /bin/busybox hexdump -v -e '1/1 \"%x\"'"
    assert inside(host, made, read) == "000"
    (told,) = inspect(host, made)["HostConfig"]["Devices"]
    assert told["PathInContainer"] == "/dev/modem"


async def test_a_service_may_do_with_its_node_what_its_score_says(
    host: PodmanHost, runtime: PodmanRuntime, nodes: Nodes
):
    """Of a node that no container has anyway."""
    nodes.plug("control", LOOP_CONTROL)
    path = f"{nodes.directory}/control"
    for permissions, refused in (("r", True), ("rw", False)):
        wanted = [{"path": path, "containerPath": "/dev/x", "permissions": permissions}]
        made = await run(runtime, workload(devices=wanted))
        said = inside(host, made, "echo x > /dev/x")
        assert ("can't create /dev/x: Operation not permitted" in said) == refused, said
        await runtime.remove(made.name)


async def test_a_service_waits_for_a_node_that_is_not_there_and_starts_by_itself(
    hub: Hub, start_agent: Start, nodes: Nodes
):
    wanting = sleeper("a", devices=[{"path": f"{nodes.directory}/ttyUSB0"}])
    async with start_agent():
        await hub.deploy("web", wanting, sleeper("b"))
        state = await hub.reaches("web", Phase.FAILED, reason="DeviceMissing", running="b")
        assert state.error
        assert state.error.service == "a"
        assert f"device {nodes.directory}/ttyUSB0 is not there" in state.error.message
        nodes.plug("ttyUSB0")
        await hub.reaches("web", Phase.RUNNING, within=20)


async def test_a_service_that_died_waits_for_its_node_and_has_the_number_that_it_comes_back_with(
    hub: Hub, host: PodmanHost, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    async with start_agent():
        await hub.deploy("web", sleeper("a", devices=[{"path": path, "containerPath": "/dev/x"}]))
        await hub.reaches("web", Phase.RUNNING)
        nodes.unplug("ttyUSB0")
        host.podman("kill", "fleet.web.a")
        state = await hub.reaches("web", Phase.FAILED, reason="DeviceMissing")
        assert state.error
        assert state.error.service == "a"
        nodes.plug("ttyUSB0", FULL)
        await hub.reaches("web", Phase.RUNNING, within=25)
    number = host.podman("exec", "fleet.web.a", "/bin/busybox", "stat", "-c", "%t:%T", "/dev/x")
    assert number == "1:7"


async def test_a_service_that_runs_has_the_number_that_its_node_is_plugged_in_again_with(
    hub: Hub, host: PodmanHost, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")

    async def is_of(number: str) -> bool:
        ask = ("exec", "fleet.web.a", "/bin/busybox", "stat", "-c", "%t:%T", "/dev/x")
        return host.podman(*ask, check=False) == number

    async with start_agent(resync=1.0):
        await hub.deploy("web", sleeper("a", devices=[{"path": path, "containerPath": "/dev/x"}]))
        await hub.reaches("web", Phase.RUNNING)
        assert await is_of("1:5")
        nodes.unplug("ttyUSB0")
        nodes.plug("ttyUSB0", FULL)
        await eventually(lambda: is_of("1:7"), "the service has the node that is there now")
        await hub.reaches("web", Phase.RUNNING)


async def test_an_update_to_a_node_that_is_not_there_leaves_the_version_before(
    hub: Hub, host: PodmanHost, start_agent: Start, nodes: Nodes
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        wanting = sleeper("a", devices=[{"path": f"{nodes.directory}/none"}])
        await hub.deploy("web", wanting, sleeper("b", labels={"version": "2"}))
        await hub.reaches("web", Phase.FAILED, reason="DeviceMissing", running="a")

        async def is_updated() -> bool:
            return host.containers().get("fleet.web.b") not in (None, before["fleet.web.b"])

        await eventually(is_updated, "who needs no node is updated all the same")
        assert host.containers()["fleet.web.a"] == before["fleet.web.a"]


async def test_what_is_no_node_of_dev_or_a_disk_is_refused(
    runtime: PodmanRuntime, host: PodmanHost, nodes: Nodes, tmp_path: Path
):
    (nodes.directory / "directory").mkdir()
    (nodes.directory / "file").touch()
    (nodes.directory / "out").symlink_to(tmp_path)
    (tmp_path / "node").touch()
    (nodes.directory / "loop").symlink_to("loop")
    nodes.plug("disk", 0x0700, block=True)
    nodes.plug("memory", MEMORY)
    (nodes.directory / "to-disk").symlink_to("disk")
    refused = {
        "directory": "is a directory",
        "file": "is not a device node",
        "out": "leads out of /dev",
        "out/node": "leads out of /dev",
        "loop": "is a symlink to itself",
        "disk": r"reaches a disk.*\[host_paths\]",
        "memory": "reaches the memory",
        "to-disk": r"\(which is .*/disk\) reaches a disk",
    }
    for name, why in refused.items():
        made = workload(devices=[{"path": f"{nodes.directory}/{name}", "containerPath": "/dev/x"}])
        for verb in (runtime.check, runtime.create):
            with pytest.raises(errors.DeviceForbidden, match=why):
                await verb(made)
    assert host.containers() == {}


@pytest.mark.parametrize("path", ["/dev/fd/0", "/dev/stdin"])
async def test_what_is_another_thing_to_each_process_is_refused(runtime: PodmanRuntime, path: str):
    with pytest.raises(errors.DeviceForbidden):
        await runtime.check(workload(devices=[{"path": path}]))


async def test_a_node_is_had_by_one_deployment_until_that_lets_it_go(
    hub: Hub, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    (link := nodes.directory / "by-id").symlink_to("ttyUSB0")
    async with start_agent():
        await hub.deploy("first", sleeper("reader", devices=[{"path": path}]))
        await hub.reaches("first", Phase.RUNNING)
        await hub.deploy("second", sleeper("a", devices=[{"path": str(link)}]))
        state = await hub.reaches("second", Phase.FAILED, reason="DeviceInUse")
        assert state.error
        assert "is taken by service reader of deployment first" in state.error.message
        assert "shared: true in both" in state.error.message

        # An update of who has it is no moment in which another gets it.
        revision = await hub.deploy("first", sleeper("other", devices=[{"path": path}]))
        await hub.reaches("first", Phase.RUNNING, revision=revision)

        await hub.withdraw("first")
        await hub.is_gone("first")
        await hub.reaches("second", Phase.RUNNING, within=20)


async def test_of_two_deployments_that_come_at_once_one_has_the_node(
    hub: Hub, host: PodmanHost, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    names = [f"d{n}" for n in range(4)]
    async with start_agent():
        for name in names:
            await hub.deploy(name, sleeper("a", devices=[{"path": path}]))

        async def is_decided() -> bool:
            states = [await hub.state(name) for name in names]
            reasons = [s.error.reason for s in states if s and s.error]
            return reasons == ["DeviceInUse"] * (len(names) - 1)

        await eventually(is_decided, "all but one are told")
        assert len(host.containers()) == 1


async def test_who_died_and_is_started_again_keeps_its_node_meanwhile(
    hub: Hub, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    async with start_agent():
        await hub.deploy("first", script("a", "exit 3", devices=[{"path": path}]))
        await hub.reaches("first", Phase.FAILED, reason="CrashLoop", within=40)
        await hub.deploy("second", sleeper("a", devices=[{"path": path}]))
        await hub.reaches("second", Phase.FAILED, reason="DeviceInUse")


async def test_who_has_ended_for_good_has_no_node_any_more(
    hub: Hub, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    async with start_agent():
        once = script("a", "exit 0", devices=[{"path": path}], restartPolicy="OnFailure")
        await hub.deploy("first", once)
        await hub.reaches("first", Phase.RUNNING)
        await hub.deploy("second", sleeper("a", devices=[{"path": path}]))
        await hub.reaches("second", Phase.RUNNING, within=20)


async def test_a_node_is_shared_where_all_say_so(runtime: PodmanRuntime, nodes: Nodes):
    path = nodes.plug("renderD128")
    sharing = [{"path": path, "shared": True}]
    await run(runtime, workload(devices=sharing))
    await run(runtime, workload(OTHER, devices=sharing))
    selfish = workload(OTHER, name="b", devices=[{"path": path}])
    with pytest.raises(errors.DeviceInUse, match="service a of deployment web"):
        await runtime.check(selfish)


async def test_an_agent_that_restarts_knows_who_has_a_node(
    hub: Hub, host: PodmanHost, start_agent: Start, nodes: Nodes
):
    path = nodes.plug("ttyUSB0")
    async with start_agent():
        await hub.deploy("first", sleeper("a", devices=[{"path": path}]))
        await hub.reaches("first", Phase.RUNNING)
    before = host.containers()
    async with start_agent():
        await hub.deploy("second", sleeper("a", devices=[{"path": path}]))
        await hub.reaches("second", Phase.FAILED, reason="DeviceInUse")
        assert host.containers() == before
