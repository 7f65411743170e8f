"""What `invoke lab.up` promises: parts real, reachable and confined, nothing done twice."""

import re
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

from tests.e2e.conftest import BroughtUp
from tests.using_lab.cluster import Cluster, Refused
from tests.using_lab.devices import Device, fetch, is_reached_from_the_host
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import ROOT, Lab, Status, processes
from tests.using_lab.manifests import deployment, service

PORT = 18380
KINDS = "crd,clusterroles,clusterrolebindings,sa,ns"
VERSIONS = "{range .items[*]}{.kind}/{.metadata.name} {.metadata.resourceVersion}{'\\n'}{end}"
SETTINGS = {".conf", ".toml", ".yaml", ".yml", ".crt", ".key", ".pem", ".creds"}
Devices = tuple[Device, ...]

# docs/architecture.md; fields are only ever added.
DOCUMENTED: dict[str, Any] = {
    "name": str,
    "topology": str,
    "stage": str,
    "problems": list,
    "kubernetes": {"kubeconfig": str, "server": str, "backend": str, "pids": dict},
    "nats": {
        "url": str,
        "credentials": {"admin": str, "operator": str},
        "ca": (str, type(None)),
        "pid": int,
    },
    "registry": {"address": str, "pid": int},
    "operator": {"pid": int, "health": str, "metrics": str},
    "devices": [
        {
            "id": str,
            "backend": str,
            "arch": str,
            "address": str,
            "labels": dict,
            "rootless": bool,
            "netns": str,
            "podman": str,
            "credentials": str,
            "agent": str,
            "pid": int,
        }
    ],
    "paths": {"state": str, "logs": str},
}


def test_up_ends_with_a_table_of_parts_and_devices(first_up: BroughtUp, status: Status):
    said = first_up.printed.out
    parts = [*status["kubernetes"]["pids"], "nats", "registry", "operator"]
    devices = [device["id"] for device in status["devices"]]

    assert [name for name in parts + devices if name not in said] == [], said


def test_the_commands_that_up_prints_lead_to_the_demos_page(
    first_up: BroughtUp, cluster: Cluster, devices: Devices
):
    commands = _printed_commands(first_up.printed.out)
    try:
        said = _type(commands)
    finally:
        cluster.kubectl("delete", "fleetdep", "--all", "-n", "fleet-demo", "--timeout=60s")

    assert said.count("hello-web") > 1, said
    assert [device.id for device in devices if device.id not in said] == []
    assert re.search(r"hello-web +(\d)/\1 ", said), said
    assert "hello-web v1 on " in said


def test_status_has_the_documented_fields(lab: Lab, status: Status):

    assert list(_misfits("", status, DOCUMENTED)) == []
    assert (status["name"], status["stage"], status["problems"]) == (lab.name, "ready", [])
    assert status["topology"] == "smoke"
    assert len(status["devices"]) == 3
    assert {device["agent"] for device in status["devices"]} == {"running"}


def test_a_rootless_device_runs_nothing_as_root(status: Status):
    rootless = {device["id"]: device for device in status["devices"] if device["rootless"]}

    assert set(rootless) == {"dev-03"}
    for part in ("pid", "podman_pid"):
        assert 0 not in psutil.Process(rootless["dev-03"][part]).uids()


def test_every_part_runs_in_its_own_process(status: Status):
    found = processes(status)

    assert {"etcd", "kube-apiserver", "kube-controller-manager"} <= set(found)
    assert {"nats", "registry", "operator"} <= set(found)
    assert len({process.pid for process in found.values()}) == 3 + 3 + 2 * 3


def test_the_agent_runs_in_its_devices_network(status: Status):
    for device in status["devices"]:
        own = Path(f"/proc/{device['pid']}/ns/net").stat().st_ino
        assert own == Path(device["netns"]).stat().st_ino
        assert own != Path("/proc/self/ns/net").stat().st_ino


def test_the_agent_lives_in_an_environment_without_the_operators_libraries(status: Status):
    for device in status["devices"]:
        mapped = Path(f"/proc/{device['pid']}/maps").read_text()
        assert "aiohttp" not in mapped
        assert "kubernetes" not in " ".join(psutil.Process(device["pid"]).cmdline())


def test_secrets_are_readable_by_their_owner_only(status: Status):
    secrets = [
        status["kubernetes"]["kubeconfig"],
        *status["nats"]["credentials"].values(),
        *(device["credentials"] for device in status["devices"]),
        _environment(status["operator"]["pid"])["KUBECONFIG"],
    ]

    assert {path: stat.S_IMODE(Path(path).stat().st_mode) for path in secrets} == dict.fromkeys(
        secrets, 0o600
    )


def test_no_secret_stands_on_a_command_line(status: Status):
    for process in processes(status).values():
        command = " ".join(psutil.Process(process.pid).cmdline()).lower()
        assert "password=" not in command
        assert "token=" not in command


def test_the_operator_is_no_administrator(status: Status):
    operator = Cluster(Path(_environment(status["operator"]["pid"])["KUBECONFIG"]))

    assert "system:serviceaccount:fleet-system:" in operator.kubectl("auth", "whoami")
    assert _can(operator, "list", "deployments.fleet.nationtech.io")
    assert _can(operator, "patch", "deployments.fleet.nationtech.io", "--subresource=status")
    assert not _can(operator, "*", "*")
    assert not _can(operator, "get", "secrets")
    assert not _can(operator, "create", "deployments.fleet.nationtech.io")
    assert not _can(operator, "create", "pods")
    assert not _can(operator, "create", "clusterrolebindings.rbac.authorization.k8s.io")


def test_every_address_is_valid_from_the_host_and_from_a_device(status: Status, devices: Devices):
    addresses = list(_addresses(status))

    for device in devices:
        assert [each for each in addresses if not device.reaches(*each)] == []
    assert [each for each in addresses if not is_reached_from_the_host(*each)] == []


def test_operator_health_and_metrics_answer(status: Status):
    operator = status["operator"]

    assert fetch(f"{operator['health']}/healthz")
    assert fetch(f"{operator['health']}/readyz")
    assert "# TYPE " in fetch(operator["metrics"])


def test_no_server_listens_on_an_address_of_the_outside(status: Status, devices: Devices):
    inside = {host for host, _ in _addresses(status)} | {"127.0.0.1", "::1"}
    pids = [
        *status["kubernetes"]["pids"].values(),
        *(status[part]["pid"] for part in ("nats", "registry", "operator")),
    ]
    listening = {
        connection.laddr.ip
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening <= inside


def test_kubectl_lists_every_device_ready_with_its_labels(
    status: Status, cluster: Cluster, devices: Devices
):
    for device in status["devices"]:
        cluster.await_condition("fleetdev", device["id"], "Ready", "True")
        row = cluster.row("fleetdev", device["id"])
        assert row["READY"] == "True"
        assert row["ARCH"] == device["arch"]
        found = cluster.get("fleetdev", device["id"])["metadata"]["labels"]
        assert device["labels"].items() <= found.items()


def test_the_users_own_kubeconfig_is_left_alone(status: Status):
    own = Path("~/.kube/config").expanduser()

    assert not own.exists() or status["kubernetes"]["server"] not in own.read_text()


def test_logs_show_what_each_part_said(lab: Lab, status: Status):
    parts = [*status["kubernetes"]["pids"], "nats", "registry", "operator"]
    agents = [f"agent-{device['id']}" for device in status["devices"]]

    said = lab.logs().out

    assert [name for name in parts + agents if name not in said] == []


def test_doctor_finds_nothing_amiss_where_a_lab_runs(lab: Lab):
    examined = lab.examine()

    assert examined.code == 0, examined.out


def test_a_second_up_changes_nothing(
    lab: Lab, fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
):
    selector = fleet.label("second", *devices)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=3, running=3)
    before = _world(lab, cluster, devices)

    printed = lab.up()

    assert _world(lab, cluster, devices) == before
    assert "unchanged" in printed.out
    assert printed.seconds < 20


def _world(lab: Lab, cluster: Cluster, devices: Devices) -> dict[str, Any]:
    """Everything that a superfluous `up` could disturb."""
    status = lab.status()
    return {
        "status": status,
        "processes": processes(status),
        "containers": {device.id: device.containers() for device in devices},
        "objects": cluster.kubectl("get", KINDS, "-A", f"--output=jsonpath={VERSIONS}"),
        "files": dict(_settings(Path(status["paths"]["state"]))),
    }


def _settings(state: Path) -> Iterator[tuple[str, int]]:
    """The files that a process of the lab was started with."""
    for path in state.rglob("*"):
        if path.suffix in SETTINGS and "overlay" not in path.parts:
            yield str(path), path.stat().st_mtime_ns


def _misfits(where: str, value: Any, shape: Any) -> Iterator[str]:
    if isinstance(shape, dict):
        yield from (f"{where}.{key} is missing" for key in shape.keys() - value.keys())
        for key in shape.keys() & value.keys():
            yield from _misfits(f"{where}.{key}", value[key], shape[key])
    elif isinstance(shape, list):
        for index, each in enumerate(value):
            yield from _misfits(f"{where}[{index}]", each, shape[0])
    elif not isinstance(value, shape):
        yield f"{where} is {value!r}"


def _printed_commands(printed: str) -> list[str]:
    """What stands beneath "Next:", to be typed in the root of the checkout."""
    return [line.strip() for line in printed.partition("\nNext:\n")[2].splitlines()]


def _type(commands: list[str]) -> str:
    script = "\n".join(("set -e", "unset http_proxy https_proxy ALL_PROXY", *commands))
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _environment(pid: int) -> dict[str, str]:
    return psutil.Process(pid).environ()


def _can(cluster: Cluster, verb: str, resource: str, *options: str) -> bool:
    try:
        return cluster.kubectl("auth", "can-i", verb, resource, "-A", *options).strip() == "yes"
    except Refused:
        return False


def _addresses(status: Status) -> Iterator[tuple[str, int]]:
    urls = (
        status["kubernetes"]["server"],
        status["nats"]["url"],
        f"http://{status['registry']['address']}",
        status["operator"]["health"],
        status["operator"]["metrics"],
    )
    for url in urls:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        yield parts.hostname, parts.port
