"""Each field of a score on a real podman: what inspect says, and what is so inside."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.podman.api.specification import SCRATCH
from fleet.agent.runtimes.podman.host_paths import HostPaths
from fleet.contracts import scores
from fleet.contracts.names import DeploymentName
from tests.integration.agent.agent_process import DEVICE
from tests.podman_host import IMAGE, ULIMITS, PodmanHost
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(60)

WEB = DeploymentName("web")
OTHER = DeploymentName("other")
CGROUPS = Path("/sys/fs/cgroup")


def workload(deployment: DeploymentName = WEB, /, **fields: Any) -> Workload:
    """Make a service that sleeps, as a score with *fields* would say it."""
    plain = {"name": "a", "image": IMAGE, "command": ["/bin/sleep"], "args": ["1000"]}
    data = {"services": [{**plain, "networkMode": "none", **fields}]}
    (service,) = scores.decode("PodmanV0", data).services
    return Workload(deployment, service, scores.service_digests(data)[service.name])


async def run(runtime: PodmanRuntime, made: Workload) -> Workload:
    """Create and start."""
    await runtime.create(made)
    await runtime.start(made.name)
    return made


def inspect(host: PodmanHost, made: Workload) -> Any:
    """Read what podman says of the container."""
    return json.loads(host.podman("inspect", made.name))[0]


def inside(host: PodmanHost, made: Workload, script: str) -> str:
    """Run a script in the container; return what it printed, also where it failed."""
    return host.podman("exec", made.name, "/bin/sh", "-c", f"({script}) 2>&1", check=False)


def at(details: Any, path: str) -> Any:
    """Follow a path of keys and indices; a slash within a key is spelt ~."""
    for step in path.split("/"):
        details = details[int(step) if isinstance(details, list) else step.replace("~", "/")]
    return details


IN_MEMORY = "rw,nosuid,nodev,mode=1777,rprivate,tmpcopyup"
FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "name": ({"name": "b"}, {"Name": "fleet.web.b"}),
    "image": ({}, {"ImageName": IMAGE}),
    "command": ({"command": ["/bin/sleep", "9"]}, {"Config/Entrypoint": "/bin/sleep 9"}),
    "args": ({"args": ["77"]}, {"Config/Cmd": ["77"], "Args": ["77"]}),
    "networkMode none": ({"networkMode": "none"}, {"HostConfig/NetworkMode": "none"}),
    "networkMode host": ({"networkMode": "host"}, {"HostConfig/NetworkMode": "host"}),
    "networkMode bridge": ({"networkMode": "bridge"}, {"HostConfig/NetworkMode": "bridge"}),
    "ports": (
        {
            "networkMode": "bridge",
            "ports": [
                {"host": 8081, "container": 80, "hostIp": "127.0.0.1"},
                {"host": 8081, "container": 53, "protocol": "udp"},
            ],
        },
        {
            "HostConfig/PortBindings": {
                "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}],
                "53/udp": [{"HostIp": "", "HostPort": "8081"}],
            }
        },
    ),
    "restartPolicy": (
        {"restartPolicy": "OnFailure"},
        {
            # podman never restarts; the agent does.
            "HostConfig/RestartPolicy/Name": "no",
            "Config/Labels/fleet.nationtech.io~restart-policy": "OnFailure",
        },
    ),
    "volumes by name": (
        {"volumes": [{"name": "data", "mountPath": "/data"}]},
        {
            "Mounts/0/Type": "volume",
            "Mounts/0/Name": "fleet.web.data",
            "Mounts/0/Destination": "/data",
            "Mounts/0/RW": True,
        },
    ),
    "volumes by hostPath": (
        {"volumes": [{"hostPath": "/etc", "mountPath": "/host", "readOnly": True}]},
        {
            "Mounts/0/Type": "bind",
            "Mounts/0/Source": "/etc",
            "Mounts/0/Destination": "/host",
            "Mounts/0/RW": False,
        },
    ),
    "resources memory": (
        {"resources": {"memory": "64Mi"}},
        {"HostConfig/Memory": 64 * 2**20, "HostConfig/MemorySwap": 64 * 2**20},
    ),
    "resources cpus": (
        {"resources": {"cpus": "500m"}},
        {"HostConfig/CpuQuota": 50_000, "HostConfig/CpuPeriod": 100_000},
    ),
    "resources pids": ({"resources": {"pids": 20}}, {"HostConfig/PidsLimit": 20}),
    "healthcheck": (
        {
            "healthcheck": {
                "command": ["/bin/true", "x y"],
                "interval": 11,
                "timeout": 2,
                "retries": 5,
                "startPeriod": 7,
            }
        },
        {
            # No interval: the agent times the checks.
            "Config/Healthcheck": {
                "Test": ["CMD", "/bin/true", "x y"],
                "Timeout": 2 * 10**9,
                "Retries": 5,
                "StartPeriod": 7 * 10**9,
            }
        },
    ),
    "no healthcheck": ({}, {"Config/Healthcheck": {"Test": ["NONE"]}}),
    "user": ({"user": "1000:1001"}, {"Config/User": "1000:1001"}),
    "readOnlyRootfs": (
        {"readOnlyRootfs": True},
        {
            "HostConfig/ReadonlyRootfs": True,
            "HostConfig/Tmpfs": dict.fromkeys(SCRATCH, IN_MEMORY),
        },
    ),
    "capabilities": (
        {"capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]}},
        {"EffectiveCaps": ["CAP_NET_ADMIN"], "BoundingCaps": ["CAP_NET_ADMIN"]},
    ),
    "stopTimeout": ({"stopTimeout": 0}, {"Config/StopTimeout": 0}),
    "no stopTimeout": ({}, {"Config/StopTimeout": 1}),
    "labels": ({"labels": {"team": "web"}}, {"Config/Labels/team": "web"}),
    "hostname": ({"hostname": "edge.example.org"}, {"Config/Hostname": "edge.example.org"}),
    "extraHosts": (
        {"extraHosts": [{"hostname": "db", "ip": "10.0.0.1"}, {"hostname": "db", "ip": "fd00::1"}]},
        {"HostConfig/ExtraHosts": ["db:10.0.0.1", "db:fd00::1"]},
    ),
    "dns": (
        {"dns": ["192.0.2.53", "fd00::53"], "networkMode": "host"},
        {"HostConfig/Dns": ["192.0.2.53", "fd00::53"]},
    ),
    "devices": (
        {"devices": [{"path": "/dev/null", "containerPath": "/dev/sink", "permissions": "rw"}]},
        {"HostConfig/Devices/0/PathOnHost": "/dev/null"}
        | {"HostConfig/Devices/0/PathInContainer": "/dev/sink"},
    ),
    "tmpfs": (
        {"tmpfs": [{"path": "/cache", "size": "1Mi", "mode": "0700"}, {"path": "/more"}]},
        {
            "HostConfig/Tmpfs": {
                "/cache": "rw,nosuid,nodev,mode=0700,size=1048576,rprivate,tmpcopyup",
                "/more": IN_MEMORY,
            }
        },
    ),
    "shmSize": ({"shmSize": "8Mi"}, {"HostConfig/ShmSize": 8 * 2**20}),
    "files": (
        {"files": [{"path": "/etc/app/app.conf", "content": "a = 1\n"}]},
        {
            "Mounts/0/Type": "bind",
            "Mounts/0/Destination": "/etc/app/app.conf",
            "Mounts/0/RW": False,
        },
    ),
    "logs": ({"logs": {"maxSize": "1M"}}, {"HostConfig/LogConfig/Size": "1MB"}),
}


@pytest.mark.parametrize(("fields", "expected"), FIELDS.values(), ids=FIELDS)
async def test_a_field_of_a_score_is_so_in_podman(
    host: PodmanHost, runtime: PodmanRuntime, fields: dict[str, Any], expected: dict[str, Any]
):
    made = await run(runtime, workload(**fields))
    details = inspect(host, made)
    found = {path: at(details, path) for path in expected}
    assert found == expected


def test_the_table_above_has_a_row_for_each_field():
    # See test_podman, test_deploying and test_container_fields: inspect doesn't tell sysctls.
    without = {"pull_policy", "env", "sysctls"}
    rows = {row.split()[-1] if row.startswith("no ") else row.split()[0] for row in FIELDS}
    names = {f.encode_name for f in msgspec.structs.fields(scores.Service) if f.name not in without}
    assert rows == names


async def test_a_read_only_root_refuses_a_write_and_leaves_scratch_that_takes_one(
    host: PodmanHost, runtime: PodmanRuntime
):
    made = await run(runtime, workload(readOnlyRootfs=True, user="1000"))
    assert "Read-only file system" in inside(host, made, "echo x > /x")
    assert inside(host, made, "echo x > /tmp/x && cat /tmp/x") == "x"


async def test_a_volume_at_a_scratch_path_takes_its_place(host: PodmanHost, runtime: PodmanRuntime):
    volumes = [{"name": "tmp", "mountPath": "/run"}]
    made = await run(runtime, workload(readOnlyRootfs=True, volumes=volumes))
    assert set(inspect(host, made)["HostConfig"]["Tmpfs"]) == set(SCRATCH) - {"/run"}
    assert inside(host, made, "echo x > /run/x && cat /run/x") == "x"


async def test_a_service_is_the_user_that_its_score_names(host: PodmanHost, runtime: PodmanRuntime):
    made = await run(runtime, workload(user="1000:1001"))
    status = inside(host, made, "cat /proc/1/status").splitlines()
    lines = dict(line.split(":\t", 1) for line in status)
    assert (lines["Uid"].split()[1], lines["Gid"].split()[1]) == ("1000", "1001")


async def test_limits_stand_in_the_control_groups(host: PodmanHost, runtime: PodmanRuntime):
    limits = {"memory": "64Mi", "cpus": "500m", "pids": 20}
    made = await run(runtime, workload(resources=limits))
    group = inspect(host, made)["State"]["CgroupPath"].lstrip("/")
    memory = limit(group, "memory", "memory.limit_in_bytes", "memory.max")
    assert memory == str(64 * 2**20)
    assert limit(group, "cpu", "cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert limit(group, "pids", "pids.max", "pids.max") == "20"


def limit(group: str, controller: str, old: str, new: str) -> str:
    """Read a limit, from control groups of either age."""
    path = CGROUPS / controller / group / old
    return (path if path.exists() else CGROUPS / group / new).read_text().strip()


async def test_a_read_only_volume_refuses_a_write(
    host: PodmanHost, runtime: PodmanRuntime, tmp_path: Path
):
    (tmp_path / "site").write_text("lab")
    volumes = [
        {"name": "data", "mountPath": "/data", "readOnly": True},
        {"hostPath": str(tmp_path), "mountPath": "/host", "readOnly": True},
    ]
    made = await run(runtime, workload(volumes=volumes))
    assert inside(host, made, "cat /host/site") == "lab"
    for path in ("/data", "/host"):
        assert "Read-only file system" in inside(host, made, f"echo x > {path}/x")


async def test_a_named_volume_belongs_to_its_deployment_and_outlives_its_services(
    host: PodmanHost, runtime: PodmanRuntime
):
    volumes = [{"name": "data", "mountPath": "/data"}]
    first = await run(runtime, workload(volumes=volumes))
    inside(host, first, "echo kept > /data/x")
    second = await run(runtime, workload(name="b", volumes=volumes))
    assert inside(host, second, "cat /data/x") == "kept"
    stranger = await run(runtime, workload(OTHER, volumes=volumes))
    assert "No such file" in inside(host, stranger, "cat /data/x")

    await runtime.remove(first.name)
    await runtime.remove(second.name)
    again = await run(runtime, workload(volumes=volumes))
    assert inside(host, again, "cat /data/x") == "kept"


async def test_a_nameless_volume_of_an_image_goes_with_its_container(
    host: PodmanHost, runtime: PodmanRuntime
):
    image = "localhost/nameless:1"
    host.podman("import", "--change", "VOLUME /scratch", str(host.root / "rootfs.tar"), image)
    before = host.podman("volume", "ls", "--quiet")
    made = await run(runtime, workload(image=image))
    assert host.podman("volume", "ls", "--quiet") != before
    await runtime.remove(made.name)
    assert host.podman("volume", "ls", "--quiet") == before


SERVER = {"command": ["/bin/httpd"], "args": ["-f", "-p", "80"]}
# Connects to 127.0.0.1, and says how what it is answered begins.
CLIENT = """
import socket
try:
    with socket.create_connection(("127.0.0.1", 8087), 2) as connected:
        connected.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
        print(connected.recv(4).decode())
except OSError as exc:
    print(exc)
"""


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "127.0.0.1"])
async def test_a_published_port_is_served_at_the_address_asked_for(
    host: PodmanHost, runtime: PodmanRuntime, address: str
):
    ports = [{"host": 8087, "container": 80, "hostIp": address}]
    made = workload(networkMode="bridge", ports=ports, **SERVER)
    await runtime.check(made)
    await run(runtime, made)

    async def is_served() -> bool:
        return host.run(sys.executable, "-c", CLIENT) == "HTTP"

    await eventually(is_served, "what is published is served")


async def test_an_address_that_podman_forwards_nothing_from_is_told_before_anything_is_made(
    runtime: PodmanRuntime,
):
    ports = [{"host": 8087, "container": 80, "hostIp": "::1"}]
    with pytest.raises(errors.AddressUnavailable, match="nothing is forwarded from ::1: podman's"):
        await runtime.check(workload(networkMode="bridge", ports=ports))


async def test_an_address_that_the_device_does_not_have_is_told(runtime: PodmanRuntime):
    ports = [{"host": 8087, "container": 80, "hostIp": "192.0.2.1"}]
    with pytest.raises(errors.AddressUnavailable, match=r"192\.0\.2\.1.*; write an address of"):
        await run(runtime, workload(networkMode="bridge", ports=ports))


async def test_a_log_takes_no_more_of_the_disk_than_the_device_says(host: PodmanHost):
    options = Options(socket=host.socket, ulimits=ULIMITS, stop_timeout=1, log_max_size=20_000)
    chatter = (
        "i=0; while [ $i -lt 1000 ]; do echo $i 0123456789012345678901234567890; i=$((i+1)); done"
    )
    with contextlib.closing(PodmanRuntime(DEVICE, options)) as runtime:
        made = workload(command=["/bin/sh", "-c", chatter], args=[])
        await run(runtime, made)
        host.podman("wait", made.name)
        log = inspect(host, made)["HostConfig"]["LogConfig"]
        assert int(host.run("stat", "--format=%s", log["Path"])) <= 20_000
        assert "\n999 0123" in host.podman("logs", made.name)
        (found,) = await runtime.observe()
        assert found.digest == made.digest


async def test_what_is_the_agents_own_is_in_no_container(host: PodmanHost):
    own = HostPaths(((host.root / "podman.sock", "podman's socket"),))
    options = Options(socket=host.socket, ulimits=ULIMITS, host_paths=own)
    with contextlib.closing(PodmanRuntime(DEVICE, options)) as runtime:
        made = workload(volumes=[{"hostPath": str(host.root), "mountPath": "/x"}])
        for refused in (runtime.check, runtime.create):
            with pytest.raises(errors.HostPathForbidden, match=r"podman's socket.*\[host_paths\]"):
                await refused(made)
    assert host.containers() == {}


async def test_a_path_that_leads_to_the_agents_own_by_now_is_not_started(
    host: PodmanHost, tmp_path: Path
):
    own = HostPaths(((host.root / "podman.sock", "podman's socket"),))
    options = Options(socket=host.socket, ulimits=ULIMITS, host_paths=own)
    (tmp_path / "data").mkdir()
    (link := tmp_path / "link").symlink_to(tmp_path / "data")
    made = workload(volumes=[{"hostPath": str(link), "mountPath": "/x"}])
    with contextlib.closing(PodmanRuntime(DEVICE, options)) as runtime:
        await run(runtime, made)
        link.unlink()
        link.symlink_to(host.root)
        for verb in (runtime.start, runtime.restart):
            with pytest.raises(errors.HostPathForbidden, match="podman's socket"):
                await verb(made.name)
        await runtime.remove(made.name)


@pytest.mark.parametrize("wanted", [{"stopTimeout": 0}, {"stopTimeout": 30}], ids=str)
async def test_a_service_ends_within_its_own_time(
    host: PodmanHost, runtime: PodmanRuntime, wanted: dict[str, int]
):
    """The device's own is a second: with 30 it would be killed before it has said goodbye."""
    goodbye = "trap 'sleep 2; echo bye > /data/x; exit 0' TERM; while :; do sleep 0.1; done"
    volumes = [{"name": f"end-{wanted['stopTimeout']}", "mountPath": "/data"}]
    made = workload(command=["/bin/sh", "-c", goodbye], args=[], volumes=volumes, **wanted)
    await run(runtime, made)
    await runtime.remove(made.name)
    after = await run(runtime, workload(volumes=volumes))
    said = inside(host, after, "cat /data/x")
    assert (said == "bye") == (wanted["stopTimeout"] == 30), said


@pytest.mark.parametrize(
    ("fields", "error", "advice"),
    [
        (
            {"volumes": [{"hostPath": "/nowhere", "mountPath": "/x"}]},
            errors.HostPathMissing,
            "/nowhere.*create the directory on the device, or mount a named volume",
        ),
        (
            {"capabilities": {"add": ["NONSENSE"]}},
            errors.CapabilityUnavailable,
            "NONSENSE.*remove it from capabilities",
        ),
    ],
    ids=["hostPath", "capability"],
)
async def test_what_the_device_cannot_give_is_told_with_what_to_do(
    host: PodmanHost,
    runtime: PodmanRuntime,
    fields: dict[str, Any],
    error: type[errors.FleetError],
    advice: str,
):
    with pytest.raises(error, match=advice) as refusal:
        await runtime.create(workload(**fields))
    assert refusal.value.element == "a"
    assert host.containers() == {}
