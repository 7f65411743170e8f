"""The custom resources on a real API server, as somebody with kubectl meets them."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet.contracts import resources
from fleet.contracts.schemas import crds
from tests.kube_api import KubeApi

pytestmark = pytest.mark.timeout(120)  # each worker starts an API server of its own

SERVED_SECONDS = 60
SERVICE = {"name": "web", "image": "registry.local/web:1"}
ANYWHERE = {"matchLabels": {"site": "lab"}}


def _until_taken(kubectl: "Kubectl", manifest: dict[str, Any], *, taken: bool) -> None:
    """Wait until the definition that was applied is in force."""
    deadline = time.monotonic() + SERVED_SECONDS
    given = json.dumps(manifest)
    while kubectl.run("apply", "--dry-run=server", "-f", "-", given=given)[0] != taken:
        assert time.monotonic() < deadline, "the definition is not in force"


class Kubectl:
    """kubectl as the administrator."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api

    def run(self, *arguments: str, given: str = "") -> tuple[bool, str]:
        """Run it; return whether it succeeded, and what it said."""
        done = subprocess.run(
            ["kubectl", f"--kubeconfig={self._api.kubeconfig}", *arguments],
            input=given,
            text=True,
            capture_output=True,
            check=False,
            timeout=60,
        )
        return done.returncode == 0, done.stdout + done.stderr

    def __call__(self, *arguments: str, given: str = "", succeeds: bool = True) -> str:
        """Run it, insist on its outcome, and return what it said."""
        succeeded, said = self.run(*arguments, given=given)
        assert succeeded == succeeds, said
        return said

    def apply(self, manifest: dict[str, Any], *, succeeds: bool = True) -> str:
        """Apply one object."""
        return self("apply", "-f", "-", given=json.dumps(manifest), succeeds=succeeds)


@pytest.fixture(scope="module")
def kubectl(kube_api: KubeApi) -> Iterator[Kubectl]:
    kubectl = Kubectl(kube_api)
    names = [f"crd/{crd['metadata']['name']}" for crd in crds.definitions()]
    for text in crds.manifests().values():
        kubectl("apply", "-f", "-", given=text)
    kubectl("wait", "--for=condition=established", "--timeout=20s", *names)
    kubectl("create", "namespace", "crds")
    _wait_until_served(kubectl)
    yield kubectl
    kubectl("delete", "namespace", "crds", "--wait=false")


def deployment(
    *services: dict[str, Any], name: str = "web", selector: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "apiVersion": resources.API_VERSION,
        "kind": resources.DEPLOYMENT_KIND,
        "metadata": {"name": name, "namespace": "crds"},
        "spec": {
            "targetSelector": ANYWHERE if selector is None else selector,
            "score": {"type": "PodmanV0", "data": {"services": list(services or [SERVICE])}},
        },
    }


def volume(path: str, **more: Any) -> dict[str, Any]:
    return {"mountPath": path, **more}


EVERYTHING = {
    "volumes": [volume("/data", name="data"), volume("/etc/site", hostPath="/", readOnly=True)],
    "resources": {"memory": "128Mi", "cpus": "500m", "pids": 64},
    "healthcheck": {
        "command": ["/bin/true"],
        "interval": 10,
        "timeout": 5,
        "retries": 3,
        "startPeriod": 0,
    },
    "user": "1000:www-data",
    "readOnlyRootfs": True,
    "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
    "stopTimeout": 0,
    "labels": {"team": "", "example.org/part": "web"},
    "hostname": "edge.example.org",
    "extraHosts": [{"hostname": "db", "ip": "10.0.0.1"}],
    "dns": ["192.0.2.53", "fd00::53"],
    "sysctls": {"net.core.somaxconn": "100", "kernel.sem": "250 32000 32 128"},
    "devices": [
        {"path": "/dev/ttyUSB0"},
        {"path": "/dev/serial/by-path/pci-0:1", "containerPath": "/dev/modem", "permissions": "rw"},
        {"path": "/dev/dri/renderD128", "shared": True},
    ],
    "tmpfs": [{"path": "/cache", "size": "64Mi", "mode": "0700"}, {"path": "/more"}],
    "shmSize": "64Mi",
    "files": [{"path": "/etc/app.conf", "content": "é" * 32_768, "mode": "0400"}],
    "logs": {"maxSize": "10Mi"},
}


def port(host: int, **more: Any) -> dict[str, Any]:
    return {"host": host, "container": 80, **more}


def service(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "[::1]:5000/x:1", **more}


EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_taken_as_it_stands(kubectl: Kubectl, example: Path):
    manifest = yaml.safe_load(example.read_text())
    manifest["metadata"]["namespace"] = "crds"
    kubectl.apply(manifest)
    kubectl("delete", "-n", "crds", "fleetdep", manifest["metadata"]["name"])


BAD_SERVICES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"volumes": [volume("/d")]}, "a volume needs either name or hostPath"),
    (
        {"volumes": [volume("/d", name="a", hostPath="/a")]},
        "a volume needs either name or hostPath",
    ),
    ({"volumes": [volume("d", name="a")]}, "must be an absolute path below /, such as /data"),
    ({"volumes": [volume("/", name="a")]}, "must be an absolute path below /, such as /data"),
    (
        {"volumes": [volume("/d", hostPath="/a/../b")]},
        "must be an absolute path, such as /srv/data",
    ),
    (
        {"volumes": [volume("/d", name="a"), volume("/d", name="b")]},
        "a service mounts two volumes at the same mountPath",
    ),
    ({"image": "docker://r.io/x:1"}, "must be the reference of an image, such as registry.example"),
    ({"image": "r.io:5000//x:v1"}, "must be the reference of an image, such as registry.example"),
    ({"image": "a/../b"}, "must be the reference of an image, such as registry.example"),
    ({"resources": {"memory": "128"}}, "must be a whole number with a unit of Ki, Mi, Gi, k, M"),
    ({"resources": {"memory": "128m"}}, "must be a whole number with a unit of Ki, Mi, Gi, k, M"),
    ({"resources": {"cpus": "0.5"}}, "or of thousandths with m, such as 500m"),
    ({"resources": {"cpus": "1m"}}, "such as 500m, from 10m on"),
    ({"resources": {"pids": 0}}, "greater than or equal to 1"),
    ({"healthcheck": {"command": []}}, "should have at least 1 items"),
    ({"healthcheck": {"interval": 10}}, "healthcheck.command: Required value"),
    ({"healthcheck": {"command": ["a"], "interval": "10s"}}, "must be of type integer"),
    ({"user": "a b"}, "must be a user id or name, such as 1000"),
    ({"capabilities": {"add": ["CAP_NET_ADMIN"]}}, "capabilities are written without CAP_"),
    ({"capabilities": {"drop": ["net_admin"]}}, "must be a capability like NET_ADMIN, or ALL"),
    ({"capabilities": {"add": ["A"], "drop": ["A"]}}, "a capability is both added and dropped"),
    ({"stopTimeout": -1}, "greater than or equal to 0"),
    ({"labels": {"fleet.nationtech.io/digest": "x"}}, "keys of nationtech.io are Fleet's own"),
    ({"labels": {"a b": "x"}}, "each key must be a label key"),
    ({"hostname": "a b"}, "must be the name of a host"),
    ({"extraHosts": [{"hostname": "-a", "ip": "10.0.0.1"}]}, "must be the name of a host"),
    ({"extraHosts": [{"hostname": "a", "ip": "host-gateway"}]}, "extraHosts[0].ip"),
    ({"extraHosts": [{"hostname": "a"}]}, "extraHosts[0].ip: Required value"),
    ({"dns": ["resolver"]}, "dns[0]"),
    ({"dns": ["10.0.0.1"], "networkMode": "none"}, "there is no network to ask in networkMode"),
    ({"sysctls": {"vm.swappiness": "1"}}, "must be a sysctl that a container has of its own"),
    ({"sysctls": {"net..x": "1"}}, "must be a sysctl that a container has of its own"),
    ({"sysctls": {"net.core.somaxconn": 1}}, "must be of type string"),
    (
        {"sysctls": {"net.core.somaxconn": "1"}, "networkMode": "host"},
        "sysctls net.* are the device's own in networkMode host",
    ),
    ({"devices": [{"path": "/etc/passwd"}]}, "must be a device node below /dev"),
    ({"devices": [{"path": "/dev/../etc/passwd"}]}, "must be a device node below /dev"),
    ({"devices": [{"path": "/dev"}]}, "must be a device node below /dev"),
    ({"devices": [{"path": "/dev/a:b"}]}, "a device whose path has a ':' needs a containerPath"),
    ({"devices": [{"path": "/dev/a", "containerPath": "/dev/a:b"}]}, "without '.', '..' and ':'"),
    ({"devices": [{"path": "/dev/a", "permissions": "rx"}]}, "must be some of r, w and m"),
    ({"tmpfs": [{"path": "cache"}]}, "must be an absolute path below /"),
    ({"tmpfs": [{"path": "/cache", "size": "1"}]}, "must be a whole number with a unit"),
    ({"tmpfs": [{"path": "/cache", "mode": "0899"}]}, "must be three or four octal digits"),
    ({"shmSize": "64"}, "must be a whole number with a unit"),
    ({"files": [{"path": "/a"}]}, "files[0].content: Required value"),
    ({"files": [{"path": "/a", "content": "", "mode": 420}]}, "must be of type string"),
    ({"files": [{"path": "/a", "content": "", "mode": "4755"}]}, "must be three octal digits"),
    ({"files": [{"path": "/a", "content": "x" * 65_537}]}, "65536"),
    (
        {"tmpfs": [{"path": "/a"}], "files": [{"path": "/a", "content": ""}]},
        "two of volumes, tmpfs, files and devices are at the same path in the container",
    ),
    (
        {"devices": [{"path": "/dev/a"}, {"path": "/dev/b", "containerPath": "/dev/a"}]},
        "two of volumes, tmpfs, files and devices are at the same path in the container",
    ),
    (
        {"files": [{"path": f"/{n}", "content": "x" * 40_000} for n in range(2)]},
        "files: at most 65536 bytes in all",
    ),
    ({"logs": {"maxSize": "1"}}, "must be a whole number with a unit"),
)


@pytest.mark.parametrize(
    "manifest",
    [
        deployment(),
        deployment(name="a" * 63),
        deployment(selector={}),
        deployment(selector={"matchExpressions": [{"key": "site", "operator": "Exists"}]}),
        deployment(service("a", ports=[port(80)]), service("b", ports=[port(81)])),
        deployment(service("a", ports=[port(53), port(53, protocol="udp")])),
        deployment(
            service("a", ports=[port(80, hostIp="10.0.0.1")]),
            service("b", ports=[port(80, hostIp="10.0.0.2")]),
        ),
        deployment(service("a", networkMode="host", ports=[])),
        deployment(service("a", **EVERYTHING)),
        deployment(service("a", env={"A_b.c-1": "", "_": "x"})),
        deployment(
            *(service(f"s{n}", ports=[port(1 + n * 16 + p) for p in range(16)]) for n in range(32))
        ),
    ],
    ids=[
        "plain",
        "63",
        "empty",
        "exists",
        "ports",
        "protocols",
        "addresses",
        "host",
        "everything",
        "env",
        "most",
    ],
)
def test_a_good_deployment_is_taken(kubectl: Kubectl, manifest: dict[str, Any]):
    kubectl.apply(manifest)
    kubectl("delete", "-n", "crds", "fleetdep", manifest["metadata"]["name"])


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (deployment(name="a.b"), "metadata.name: only a-z, 0-9 and '-'"),
        (deployment(name="a" * 64), "metadata.name: at most 63 characters"),
        (deployment(service("a"), service("a")), "two services have the same name"),
        (
            deployment(service("a", ports=[port(80)]), service("b", ports=[port(80)])),
            "two services want the same host port",
        ),
        (
            deployment(
                service("a", ports=[port(80)]), service("b", ports=[port(80, protocol="tcp")])
            ),
            "two services want the same host port",
        ),
        (
            deployment(
                service("a", ports=[port(80)]), service("b", ports=[port(80, hostIp="10.0.0.1")])
            ),
            "two services want the same host port",
        ),
        (
            deployment(
                service("a", ports=[port(81), port(80, hostIp="10.0.0.1")]),
                service("b", ports=[port(80, hostIp="10.0.0.1")]),
            ),
            "two services want the same host port of the same address",
        ),
        (
            deployment(service("a", ports=[port(80, hostIp="10.0.0.1"), port(80)])),
            "a service publishes the same host port twice",
        ),
        (
            deployment(service("a", ports=[port(80), port(80)])),
            "a service publishes the same host port twice",
        ),
        (
            deployment(service("a", ports=[port(80)], networkMode="host")),
            "ports are published in networkMode bridge only",
        ),
        (deployment(service("a", env={"1A": ""})), "env: a name begins with a letter"),
        *((deployment(service("a", **bad)), why) for bad, why in BAD_SERVICES),
        (deployment(service("A")), "services[0].name"),
        (deployment({"name": "a"}), "services[0].image: Required value"),
        (deployment(service("a", gpu=1)), 'unknown field "spec.score.data.services[0].gpu"'),
        (
            deployment(service("a", pullPolicy="Sometimes")),
            'supported values: "Always", "IfNotPresent", "Never"',
        ),
        (deployment(service("a", ports=[port(70000)])), "less than or equal to 65535"),
        (
            deployment(selector={"matchExpressions": [{"key": "a", "operator": "In"}]}),
            "In and NotIn need values",
        ),
        (
            deployment(
                selector={"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}
            ),
            "Exists and DoesNotExist take none",
        ),
        *(
            (
                deployment(
                    selector={"matchExpressions": [{"key": key, "operator": "DoesNotExist"}]}
                ),
                "matchExpressions[0].key",
            )
            for key in ("si te", "site\n", "x..io/a", "a" * 64)
        ),
        (deployment(selector={"matchLabels": {"si te": "a"}}), "matchLabels: each key must be"),
        (deployment(selector={"matchLabels": {"site": "a b"}}), "matchLabels.site"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_deployment_is_refused_and_told_why(
    kubectl: Kubectl, manifest: dict[str, Any], why: str
):
    assert why in kubectl.apply(manifest, succeeds=False)


def test_a_bad_deployment_that_is_stored_already_is_reported_on_and_can_go(kubectl: Kubectl):
    """As one is that a definition of before let in."""
    manifests = crds.manifests()
    strict = next(text for text in manifests.values() if "kind: Deployment\n" in text)
    lax = yaml.safe_load(strict)
    score = lax["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    service_ = score["properties"]["score"]["properties"]["data"]["properties"]["services"]
    del service_["items"]["properties"]["image"]["x-kubernetes-validations"]
    bad = deployment(service("a", image="docker://r.io/x:1"), name="stored")

    kubectl.apply(lax)
    _until_taken(kubectl, bad, taken=True)
    kubectl.apply(bad)
    kubectl("apply", "-f", "-", given=strict)
    _until_taken(kubectl, deployment(*bad["spec"]["score"]["data"]["services"]), taken=False)

    _patch_status(kubectl, "fleetdep", "stored", {"status": {"ready": "0/1"}}, "-n", "crds")
    for finalizers in (["fleet.nationtech.io/finalizer"], None):
        patch = json.dumps({"metadata": {"finalizers": finalizers}})
        kubectl("patch", "-n", "crds", "fleetdep", "stored", "--type=merge", f"--patch={patch}")
    kubectl("delete", "-n", "crds", "fleetdep", "stored", "--timeout=20s")


def test_an_unknown_score_type_is_refused_with_those_that_there_are(kubectl: Kubectl):
    manifest = deployment()
    manifest["spec"]["score"]["type"] = "WasmV9"
    assert 'supported values: "PodmanV0"' in kubectl.apply(manifest, succeeds=False)


def test_the_api_server_adds_no_default(kubectl: Kubectl):
    kubectl.apply(deployment(name="bare"))
    stored = json.loads(kubectl("get", "-n", "crds", "fleetdep", "bare", "-o", "json"))
    assert stored["spec"]["score"]["data"] == {"services": [SERVICE]}


def test_the_columns_of_a_deployment_say_how_it_goes(kubectl: Kubectl):
    kubectl.apply(deployment(name="columns"))
    status = {
        "status": {
            "ready": "18/20",
            "reason": "ImageNotFound",
            "aggregate": {"matched": 20, "running": 18, "failed": 2},
        }
    }
    _patch_status(kubectl, "fleetdep", "columns", status, "-n", "crds")
    table = kubectl("get", "-n", "crds", "fleetdep", "columns").split()
    assert table[:5] == ["NAME", "READY", "FAILED", "REASON", "AGE"]
    assert table[5:9] == ["columns", "18/20", "2", "ImageNotFound"]


def test_the_columns_of_a_device_say_what_it_is(kubectl: Kubectl):
    device = {
        "apiVersion": resources.API_VERSION,
        "kind": resources.DEVICE_KIND,
        "metadata": {"name": "pi-columns", "labels": {"site": "lab"}},
    }
    kubectl.apply(device)
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    summary = {
        "deployments": "2/3",
        "labels": "site=lab",
        "lastHeard": "now",
        "runtimes": "podman=5.4.2",
        "problems": "DiskFull",
    }
    status = {
        "inventory": {"arch": "aarch64"},
        "agentVersion": "0.4.0",
        "summary": summary,
        "conditions": [ready],
    }
    _patch_status(kubectl, "fleetdev", "pi-columns", {"status": status})
    assert _table(kubectl, "get", "fleetdev", "pi-columns") == {
        "NAME": "pi-columns",
        "READY": "True",
        "ARCH": "aarch64",
        "VERSION": "0.4.0",
        "DEPLOYMENTS": "2/3",
        "LABELS": "site=lab",
    }
    wide = _table(kubectl, "get", "fleetdev", "pi-columns", "-o", "wide")
    assert (wide["LAST HEARD"], wide["RUNTIMES"], wide["PROBLEMS"]) == (
        "now",
        "podman=5.4.2",
        "DiskFull",
    )
    kubectl("delete", "fleetdev", "pi-columns")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("fleetdep", "What a part of the fleet shall run."),
        ("fleetdep.metadata", "Standard object's metadata."),
        ("fleetdep.spec.targetSelector", "An empty selector matches no device."),
        ("fleetdep.spec.score.data.services.pullPolicy", "Default: IfNotPresent."),
        (
            "fleetdep.spec.score.data.services.healthcheck.startPeriod",
            "Time after the start in which failures don't count, in seconds, 0 to 86400;",
        ),
        ("fleetdep.status.aggregate.lastError.at", "by the server's clock."),
        ("fleetdev.status.inventory.memoryBytes", "Size of the memory, in bytes."),
        ("fleetdev.status.conditions.observedGeneration", "The metadata.generation that"),
    ],
)
def test_kubectl_explains_a_field(kubectl: Kubectl, path: str, says: str):
    told = kubectl("explain", f"--api-version={resources.API_VERSION}", path)
    assert says in " ".join(told.split()), told


def test_a_status_cannot_be_written_with_the_spec(kubectl: Kubectl):
    kubectl.apply(deployment(name="liar") | {"status": {"ready": "1/1"}})
    assert "1/1" not in kubectl("get", "-n", "crds", "fleetdep", "liar")


def _table(kubectl: Kubectl, *arguments: str) -> dict[str, str]:
    """Read the one row of a table, but for the age."""
    head, row = (re.split(r"  +", line.strip()) for line in kubectl(*arguments).splitlines())
    return {name: value for name, value in zip(head, row, strict=True) if name != "AGE"}


def _wait_until_served(kubectl: Kubectl) -> None:
    """An established definition is served a moment later, a long one on a busy machine."""
    deadline = time.monotonic() + SERVED_SECONDS
    said = ""
    while time.monotonic() < deadline:
        served, said = kubectl.run(
            "apply", "--dry-run=server", "-f", "-", given=json.dumps(deployment())
        )
        if served:
            return
    raise AssertionError(f"the definitions are not served: {said}")


def _patch_status(kubectl: Kubectl, kind: str, name: str, patch: Any, *more: str) -> None:
    body = json.dumps(patch)
    kubectl("patch", kind, name, *more, "--subresource=status", "--type=merge", "-p", body)
