"""The operator as a process of the lab: its own rights, and never those of an administrator."""

import json
import shutil
import subprocess

import pytest

from lab.host.lab_host import LabHost
from lab.services import operator
from lab.services.broker import stage as broker
from lab.services.cluster import stage as cluster
from lab.services.operator import PART, Operator
from lab.system import probes, waiting
from tests.lab_host import LOOPBACK, bring_about, kill, needs, running

pytestmark = [
    pytest.mark.timeout(300),  # the first test waits for everything that the operator needs
    needs(*cluster.PARTS, "nats-server", "kubectl"),
]

DEPLOYMENT = {
    "apiVersion": "fleet.nationtech.io/v1alpha1",
    "kind": "Deployment",
    "metadata": {"name": "web", "namespace": "fleet-demo"},
    "spec": {
        "targetSelector": {"matchLabels": {"site": "nowhere"}},
        "score": {
            "type": "PodmanV0",
            "data": {"services": [{"name": "web", "image": "lab/web:1"}]},
        },
    },
}


def _describe(host: LabHost) -> Operator:
    plane = cluster.control_plane(host, LOOPBACK)
    return operator.operator(host, plane, broker.broker(host, (), LOOPBACK), LOOPBACK)


def _bring_about(host: LabHost, wanted: Operator) -> list[str]:
    scores = (
        *cluster.scores(wanted.plane),
        *broker.scores(wanted.broker),
        *operator.scores(wanted),
    )
    return bring_about(scores, host)


@pytest.fixture(scope="module")
def wanted(host: LabHost) -> Operator:
    """An operator that is up, and all that it needs."""
    wanted = _describe(host)
    _bring_about(host, wanted)
    return wanted


def _kubectl(wanted: Operator, *arguments: str, given: str | None = None) -> str:
    kubectl = shutil.which("kubectl")
    assert kubectl
    return subprocess.run(
        [kubectl, "--kubeconfig", str(wanted.plane.kubeconfig), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        input=given,
        env={"HOME": str(wanted.directory)},
    ).stdout


def _missing(wanted: Operator) -> str:
    return waiting.look(probes.http(f"{wanted.health}/readyz"))


def test_a_second_time_changes_nothing(host, wanted):
    assert _missing(wanted) == ""
    pid = running(host, PART)
    assert _bring_about(host, _describe(host)) == []
    assert running(host, PART) == pid


def test_a_killed_operator_is_repaired_alone(host, wanted):
    killed = kill(host, PART)
    assert _bring_about(host, wanted) == [f"process {PART}"]
    assert running(host, PART) != killed
    assert _missing(wanted) == ""


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver", "nats-server"])
def test_the_operator_outlives_what_it_depends_on(host, wanted, part):
    pid = running(host, PART)
    kill(host, part)
    _bring_about(host, wanted)
    assert running(host, PART) == pid
    waiting.wait_for("the operator is ready again", lambda: _missing(wanted), within=60)
    assert _bring_about(host, wanted) == []


def test_an_account_made_anew_is_taken_up_without_a_restart(host, wanted):
    pid = running(host, PART)
    _kubectl(wanted, "-n", "fleet-system", "delete", "serviceaccount", "harmony-fleet-operator")
    _bring_about(host, wanted)
    _kubectl(wanted, "apply", "-f", "-", given=json.dumps(DEPLOYMENT))

    def judged() -> str:
        found = json.loads(
            _kubectl(wanted, "-n", "fleet-demo", "get", "fleetdep", "web", "-o", "json")
        )
        return "" if "conditions" in found.get("status", {}) else "no conditions yet"

    waiting.wait_for("the operator judges a deployment", judged, within=120)
    assert running(host, PART) == pid
