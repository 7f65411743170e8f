"""`specification`: what podman is asked for, and what it left out of it."""

from typing import Any

import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import specification
from fleet.contracts import scores
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
