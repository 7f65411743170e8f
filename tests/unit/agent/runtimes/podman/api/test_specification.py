"""`specification`: what podman is asked for, and what it left out of it."""

from typing import Any

import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import specification
from fleet.agent.runtimes.podman.api.specification import Given
from fleet.contracts import container_fields, scores
from fleet.contracts.names import DeploymentName, DeviceId

LIMITS = scores.Resources(memory="64Mi", cpus="500m", pids=20)
HELD = {"Memory": 64 * 2**20, "CpuQuota": 50_000, "PidsLimit": 20}


def service(**fields: Any) -> scores.Service:
    return scores.Service(name="a", image="x", **fields)


def specify(made: scores.Service) -> dict[str, Any]:
    workload = Workload(DeploymentName("web"), made, "d1")
    return specification.specification(workload, DeviceId("d"), ulimits={}, stop_timeout=10)


def test_what_a_score_does_not_say_is_left_to_podman():
    assert set(specify(service())) == {
        *("name", "image", "labels", "netns", "restart_policy", "stop_timeout", "healthconfig"),
        "Networks",
    }


EVERYTHING = service(
    command=("/app",),
    args=("--port", "80"),
    env={"MODE": "fast"},
    ports=(
        scores.Port(host=8080, container=80, host_ip="10.0.0.1"),
        scores.Port(host=53, container=5353, protocol=scores.Protocol.UDP, host_ip="::"),
    ),
    restart_policy=scores.RestartPolicy.ON_FAILURE,
    volumes=(
        scores.Volume(mount_path="/data", name="data"),
        scores.Volume(mount_path="/etc/app", host_path="/srv/app", read_only=True),
    ),
    resources=LIMITS,
    healthcheck=scores.Healthcheck(command=("check", "-q"), timeout=2, retries=4, start_period=30),
    user="1000:1000",
    read_only_rootfs=True,
    capabilities=scores.Capabilities(add=("NET_ADMIN",), drop=("CHOWN",)),
    stop_timeout=30,
    labels={"team": "blue"},
    hostname="gateway",
    extra_hosts=(container_fields.ExtraHost(hostname="db", ip="10.0.0.2"),),
    dns=("10.0.0.3",),
    sysctls={"net.core.somaxconn": "512"},
    devices=(
        container_fields.DeviceNode(path="/dev/serial/by-id/x", permissions="rw"),
        container_fields.DeviceNode(path="/dev/y", container_path="/dev/z"),
    ),
    tmpfs=(container_fields.Tmpfs(path="/tmp", size="1Mi", mode="0700"),),  # noqa: S108
    shm_size="64Mi",
    files=(container_fields.File(path="/etc/app.toml", content="x"),),
    logs=container_fields.Logs(max_size="2Mi"),
)
GIVEN = Given(("/dev/ttyUSB0", "/dev/y"), "nodes", ("/kept/1",), "kept")


def test_all_that_a_score_says_is_spelt_for_podman():
    workload = Workload(DeploymentName("web"), EVERYTHING, "d1")
    in_memory = ["rw", "nosuid", "nodev"]
    assert specification.specification(
        workload,
        DeviceId("d"),
        ulimits={"nofile": 1024},
        stop_timeout=10,
        log_max_size=1000,
        given=GIVEN,
    ) == {
        "name": "fleet.web.a",
        "image": "x",
        "env": {"MODE": "fast"},
        "labels": {
            "team": "blue",
            "fleet.nationtech.io/device": "d",
            "fleet.nationtech.io/deployment": "web",
            "fleet.nationtech.io/service": "a",
            "fleet.nationtech.io/digest": "d1",
            "fleet.nationtech.io/restart-policy": "OnFailure",
            "fleet.nationtech.io/devices": "nodes",
            "fleet.nationtech.io/files": "kept",
        },
        "netns": {"nsmode": "bridge"},
        "Networks": {"fleet.web": {"aliases": ["a"]}},
        "restart_policy": "no",
        "stop_timeout": 30,
        "log_configuration": {"size": 2 * 2**20},
        "healthconfig": {
            "Test": ["CMD", "check", "-q"],
            "Interval": 0,
            "Timeout": 2 * 10**9,
            "Retries": 4,
            "StartPeriod": 30 * 10**9,
        },
        "entrypoint": ["/app"],
        "command": ["--port", "80"],
        "portmappings": [
            {"host_ip": "10.0.0.1", "host_port": 8080, "container_port": 80, "protocol": "tcp"},
            {"host_ip": "", "host_port": 53, "container_port": 5353, "protocol": "udp"},
        ],
        "volumes": [{"Name": "fleet.web.data", "Dest": "/data", "Options": ["rw"]}],
        "mounts": [
            {
                "type": "bind",
                "source": "/srv/app",
                "destination": "/etc/app",
                "options": ["rbind", "ro"],
            },
            *(
                {"type": "tmpfs", "source": "tmpfs", "destination": path, "options": options}
                for path, options in (
                    ("/tmp", [*in_memory, "mode=0700", f"size={2**20}"]),  # noqa: S108
                    ("/run", [*in_memory, "mode=1777"]),
                    ("/var/tmp", [*in_memory, "mode=1777"]),  # noqa: S108
                )
            ),
            {
                "type": "bind",
                "source": "/kept/1",
                "destination": "/etc/app.toml",
                "options": ["bind", "ro", "nosuid", "nodev"],
            },
        ],
        "devices": [{"path": "/dev/ttyUSB0:/dev/serial/by-id/x:rw"}, {"path": "/dev/y:/dev/z:rwm"}],
        "resource_limits": {
            "memory": {"limit": 64 * 2**20, "swap": 64 * 2**20},
            "cpu": {"quota": 50_000, "period": 100_000},
            "pids": {"limit": 20},
        },
        "user": "1000:1000",
        "read_only_filesystem": True,
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["CHOWN"],
        "hostname": "gateway",
        "hostadd": ["db:10.0.0.2"],
        "dns_server": ["10.0.0.3"],
        "sysctl": {"net.core.somaxconn": "512"},
        "shm_size": 64 * 2**20,
        "r_limits": [{"type": "nofile", "soft": 1024, "hard": 1024}],
    }


@pytest.mark.parametrize("given", [Given(GIVEN.nodes[:1], files=GIVEN.files), Given(GIVEN.nodes)])
def test_a_service_is_not_made_without_a_node_or_a_file_that_it_asks_for(given: Given):
    workload = Workload(DeploymentName("web"), EVERYTHING, "d1")
    with pytest.raises(ValueError, match="zip"):
        specification.specification(
            workload, DeviceId("d"), ulimits={}, stop_timeout=10, given=given
        )


def test_a_volume_takes_the_place_of_scratch_memory_at_the_same_path():
    mounted = scores.Volume(mount_path="/run", name="run")
    specified = specify(service(read_only_rootfs=True, volumes=(mounted,)))
    destinations = [mount["destination"] for mount in specified["mounts"]]
    assert destinations == ["/tmp", "/var/tmp"]  # noqa: S108


def test_a_check_that_comes_with_the_image_is_off():
    assert specify(service())["healthconfig"] == {"Test": ["NONE"]}


@pytest.mark.parametrize("mode", scores.NetworkMode)
def test_a_service_is_in_the_network_of_its_deployment_where_it_has_one_of_its_own(
    mode: scores.NetworkMode,
):
    given = {"fleet.web": {"aliases": ["a"]}} if mode is scores.NetworkMode.BRIDGE else None
    assert specify(service(network_mode=mode)).get("Networks") == given


def test_a_log_is_bounded_where_the_device_says_so_and_its_container_is_named_as_before():
    workload = Workload(DeploymentName("web"), service(), "d1")
    bounded = specification.specification(
        workload, DeviceId("d"), ulimits={}, stop_timeout=10, log_max_size=1000
    )
    assert bounded.pop("log_configuration") == {"size": 1000}
    assert bounded == specify(service())


@pytest.mark.parametrize(("own", "given"), [(None, 10), (0, 0), (30, 30)])
def test_a_service_without_a_time_to_end_has_its_device_s(own: int | None, given: int):
    assert specify(service(stop_timeout=own))["stop_timeout"] == given


def test_nothing_was_left_out_where_podman_has_what_was_asked_for():
    wanted = service(resources=LIMITS, capabilities=scores.Capabilities(add=("NET_ADMIN", "ALL")))
    details = {"HostConfig": HELD, "BoundingCaps": ["cap_net_admin"]}
    assert specification.left_out(wanted, details) is None


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ({}, {}),
        ({"memory": "64Mi"}, {"Memory": 64 * 2**20, "PidsLimit": 2048}),
        ({"cpus": "500m"}, {"CpuQuota": 50_000, "PidsLimit": 2048}),
        ({"pids": 20}, {"PidsLimit": 20}),
    ],
)
def test_a_limit_that_nobody_asked_for_may_be_missing(asked: Any, held: dict[str, int]):
    wanted = service(resources=scores.Resources(**asked))
    assert specification.left_out(wanted, {"HostConfig": held}) is None


def test_a_limit_that_podman_does_not_tell_of_is_not_there():
    error = specification.left_out(service(resources=scores.Resources(pids=1)), {"HostConfig": {}})
    assert isinstance(error, errors.LimitUnavailable)


@pytest.mark.parametrize(
    ("limit", "said"), [("Memory", "memory"), ("CpuQuota", "cpus"), ("PidsLimit", "pids")]
)
def test_a_limit_that_podman_dropped_is_told_with_what_to_do(limit: str, said: str):
    error = specification.left_out(service(resources=LIMITS), {"HostConfig": {**HELD, limit: 0}})
    assert isinstance(error, errors.LimitUnavailable)
    assert str(error).startswith(f"{said} can't be limited on this device; enable")
    assert error.element == "a"


def test_a_capability_that_podman_dropped_is_told_with_what_to_do():
    wanted = service(capabilities=scores.Capabilities(add=("CHOWN", "SYS_RESOURCE")))
    error = specification.left_out(wanted, {"HostConfig": {}, "BoundingCaps": ["CAP_CHOWN"]})
    assert isinstance(error, errors.CapabilityUnavailable)
    assert "SYS_RESOURCE" in str(error)
    assert error.element == "a"
