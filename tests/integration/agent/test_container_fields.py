"""What a service sees of its host, its kernel and its memory, as its score says; and bad input."""

import contextlib
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.contracts.messages import Phase
from tests.agent_device import Hub
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import sleeper
from tests.integration.agent.test_podman_fields import inside, inspect, run, workload
from tests.podman_host import ULIMITS, PodmanHost

pytestmark = pytest.mark.timeout(60)


async def test_a_service_sees_its_own_host_name_hosts_and_name_servers(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = await run(
        runtime,
        workload(
            networkMode="bridge",
            hostname="edge.example.org",
            extraHosts=[{"hostname": "db", "ip": "10.0.0.1"}],
            dns=["192.0.2.53"],
        ),
    )
    assert inside(host, made, "cat /proc/sys/kernel/hostname") == "edge.example.org"
    assert "10.0.0.1\tdb" in inside(host, made, "cat /etc/hosts")
    assert inside(host, made, "cat /etc/resolv.conf").split() == ["nameserver", "192.0.2.53"]


async def test_a_service_in_the_network_of_its_host_may_have_another_host_name_and_name_server(
    host: PodmanHost, runtime: PodmanRuntime
):
    fields = {"networkMode": "host", "hostname": "edge", "dns": ["192.0.2.53"]}
    made = await run(runtime, workload(**fields, sysctls={"kernel.msgmax": "9000"}))
    assert inside(host, made, "cat /proc/sys/kernel/hostname") == "edge"
    assert inside(host, made, "cat /etc/resolv.conf").split() == ["nameserver", "192.0.2.53"]
    assert inside(host, made, "cat /proc/sys/kernel/msgmax") == "9000"


async def test_kernel_parameters_are_those_of_the_score(host: PodmanHost, runtime: PodmanRuntime):
    wanted = {
        "net.core.somaxconn": "100",
        "kernel.msgmax": "9000",
        "kernel.sem": "250 32000 32 128",
    }
    made = await run(runtime, workload(sysctls=wanted))
    for key, value in wanted.items():
        told = inside(host, made, f"cat /proc/sys/{key.replace('.', '/')}")
        assert told.split() == value.split()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.core.somaxconn", "banana"),
        ("net.core.there-is-none", "1"),
        ("net.core.rmem_max", "1000"),  # the device's own, and no container's
        ("kernel.msgmax", "-1"),
    ],
)
async def test_a_kernel_parameter_that_the_device_refuses_is_told_with_what_to_do(
    runtime: PodmanRuntime, key: str, value: str
):
    with pytest.raises(errors.SysctlUnavailable, match=r"/proc/sys/.*; correct or remove it"):
        await run(runtime, workload(sysctls={key: value}))


async def test_a_refused_kernel_parameter_fails_its_service_and_no_other_and_can_be_corrected(
    hub: Hub, start_agent: Start
):
    async with start_agent():
        bad = sleeper("a", sysctls={"net.core.somaxconn": "banana"})
        await hub.deploy("web", bad, sleeper("b"))
        state = await hub.reaches("web", Phase.FAILED, reason="SysctlUnavailable", running="b")
        assert state.error
        assert state.error.service == "a"
        good = sleeper("a", sysctls={"net.core.somaxconn": "100"})
        revision = await hub.deploy("web", good, sleeper("b"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)


async def test_memory_file_systems_hold_as_much_as_the_score_says(
    host: PodmanHost, runtime: PodmanRuntime
):
    tmpfs = [{"path": "/cache", "size": "64Ki", "mode": "0700"}]
    made = await run(runtime, workload(tmpfs=tmpfs, shmSize="128Ki"))
    mounts = inside(host, made, "cat /proc/mounts").splitlines()
    by_path = {line.split()[1]: line.split()[3].split(",") for line in mounts}
    assert {"size=64k", "mode=700", "nosuid", "nodev"} <= set(by_path["/cache"])
    assert "size=128k" in by_path["/dev/shm"]  # noqa: S108 - in the container
    assert inside(host, made, "echo x > /cache/x && cat /cache/x") == "x"


async def test_a_memory_file_system_takes_the_place_of_scratch(
    host: PodmanHost, runtime: PodmanRuntime
):
    tmpfs = [{"path": "/tmp", "size": "1Mi"}]  # noqa: S108 - in the container
    made = await run(runtime, workload(readOnlyRootfs=True, tmpfs=tmpfs))
    found = inspect(host, made)["HostConfig"]["Tmpfs"]
    assert set(found) == {"/run", "/tmp", "/var/tmp"}  # noqa: S108 - in the container
    assert "size=1048576" in found["/tmp"]  # noqa: S108 - in the container


@pytest.mark.parametrize(
    ("logs", "size"), [({"logs": {"maxSize": "1M"}}, "1MB"), ({}, "20kB")], ids=["own", "device's"]
)
async def test_the_size_of_a_log_is_the_services_own_before_the_devices(
    host: PodmanHost, logs: dict[str, Any], size: str
):
    options = Options(socket=host.socket, ulimits=ULIMITS, stop_timeout=1, log_max_size=20_000)
    with contextlib.closing(PodmanRuntime(DEVICE, options)) as runtime:
        made = await run(runtime, workload(**logs))
        assert inspect(host, made)["HostConfig"]["LogConfig"]["Size"] == size


async def test_another_size_of_logs_for_the_device_makes_no_container_anew(
    host: PodmanHost, hub: Hub, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b", logs={"maxSize": "1M"}))
        await hub.reaches("web", Phase.RUNNING)
    before = host.containers()
    async with start_agent(log_max_size=40_000):
        await hub.deploy("later", sleeper("a"))
        await hub.reaches("later", Phase.RUNNING)
        after = host.containers()
    assert {name: after[name] for name in before} == before


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a host that is no name": (
        {"extraHosts": [{"hostname": "a b", "ip": "10.0.0.1"}]},
        "is not the name of a host",
    ),
    "a host without an address": ({"extraHosts": [{"hostname": "a"}]}, "field `ip`"),
    "an address that is none": (
        {"extraHosts": [{"hostname": "a", "ip": "1.2.3"}]},
        "is not an IPv4 or IPv6 address",
    ),
    "a name server that is none": ({"dns": ["10.0.0.256"]}, "is not an IPv4 or IPv6 address"),
    "name servers without a network": (
        {"networkMode": "none", "dns": ["10.0.0.1"]},
        "no network to ask in networkMode none",
    ),
    "a parameter of the network of the device": (
        {"networkMode": "host", "sysctls": {"net.core.somaxconn": "1"}},
        "is the device's own in networkMode host",
    ),
    "a parameter of the device": ({"sysctls": {"vm.swappiness": "1"}}, "is not a sysctl that"),
    "two things at one path": (
        {"tmpfs": [{"path": "/d"}], "volumes": [{"name": "d", "mountPath": "/d"}]},
        "'/d' stands twice",
    ),
    "files that hold too much": (
        {"files": [{"path": f"/{n}", "content": "x" * 40_000} for n in range(2)]},
        "files: 80000 bytes in all; at most 65536 are allowed",
    ),
}


async def test_what_cannot_be_is_refused_and_the_version_before_runs_on(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        for case, (fields, word) in BAD.items():
            revision = await hub.deploy("web", sleeper("a", **fields))
            state = await hub.reaches(
                "web", Phase.FAILED, revision=revision, reason="InvalidDesiredState"
            )
            assert state.error, case
            assert word in state.error.message, case
            assert host.containers() == before, case
