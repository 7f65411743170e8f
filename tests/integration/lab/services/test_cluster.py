"""The control plane as processes: comes up, is left alone, is repaired, keeps its data."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fleet.scores.capabilities import Manifest
from fleet.scores.score import Change
from lab.host.lab_host import LabHost
from lab.services.cluster import objects, stage
from lab.services.cluster.control_plane import ControlPlane
from lab.services.cluster.service_account import ServiceAccountScore
from lab.system import waiting
from tests.lab_host import LOOPBACK, bring_about, kill, mode, needs, running

pytestmark = [
    pytest.mark.timeout(240),  # the first test waits for the whole control plane
    needs(*stage.PARTS, "kubectl"),
]


@pytest.fixture(scope="module")
def plane(host: LabHost) -> ControlPlane:
    """A control plane that is up."""
    plane = stage.control_plane(host, LOOPBACK)
    bring_about(stage.scores(plane), host)
    return plane


def _kubectl(plane: ControlPlane, *arguments: str) -> str:
    kubectl = shutil.which("kubectl")
    assert kubectl
    done = subprocess.run(
        [kubectl, "--kubeconfig", str(plane.kubeconfig), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={"HOME": str(plane.directory)},  # kubectl caches there, and nowhere else
    )
    return done.stdout


def test_a_second_time_changes_nothing(host, plane):
    pids = {part: running(host, part) for part in stage.PARTS}
    assert bring_about(stage.scores(stage.control_plane(host, LOOPBACK)), host) == []
    assert {part: running(host, part) for part in stage.PARTS} == pids


def test_fleets_kinds_and_namespaces_are_there(plane):
    listed = _kubectl(plane, "get", "fleetdep,fleetdev,namespaces", "-A", "-o", "name")
    assert {"namespace/fleet-system", "namespace/fleet-demo"} <= set(listed.split())


def test_what_is_secret_is_closed_to_others(plane):
    assert mode(plane.directory) == 0o700
    assert mode(plane.kubeconfig) == 0o600
    assert mode(plane.manager_kubeconfig) == 0o600
    assert mode(plane.tokens) == 0o600


def test_etcd_is_reached_through_its_directory_only(host, plane):
    listening = subprocess.run(
        ["ss", "-Hltnp"], check=True, capture_output=True, text=True, timeout=20
    ).stdout
    assert f"pid={running(host, 'kube-apiserver')}," in listening
    assert f"pid={running(host, 'etcd')}," not in listening
    assert plane.etcd_socket.is_socket()


@pytest.mark.parametrize("part", stage.PARTS)
def test_a_killed_part_is_repaired_and_the_data_is_kept(host, plane, part):
    _kubectl(plane, "create", "namespace", f"survives-{part}")
    identity = plane.kubeconfig.read_text()
    others = {other: running(host, other) for other in stage.PARTS if other != part}
    killed = kill(host, part)

    assert bring_about(stage.scores(plane), host) == [f"process {part}"]

    assert running(host, part) != killed
    assert {other: running(host, other) for other in others} == others
    assert plane.kubeconfig.read_text() == identity
    assert _kubectl(plane, "get", "namespace", f"survives-{part}", "-o", "name")
    assert bring_about(stage.scores(plane), host) == []


def test_a_deleted_namespace_goes(plane):
    _kubectl(plane, "create", "namespace", "passing")
    _kubectl(plane, "delete", "namespace", "passing", "--timeout=30s")


def test_anonymous_callers_learn_nothing_but_that_it_lives(plane):
    curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert"]
    answers = {
        path: subprocess.run(
            [*curl, str(plane.certificate), f"{plane.server}{path}"],
            check=True,
            capture_output=True,
            text=True,
            timeout=20,
        ).stdout
        for path in ("/readyz", "/version", "/api/v1/namespaces")
    }
    assert answers == {"/readyz": "200", "/version": "401", "/api/v1/namespaces": "401"}


def test_new_tokens_replace_the_server_and_every_kubeconfig(host, plane):
    before = plane.kubeconfig.read_text()
    plane.tokens.unlink()
    changed = bring_about(stage.scores(plane), host)
    assert "process kube-apiserver" in changed
    assert plane.kubeconfig.read_text() != before
    assert _kubectl(plane, "get", "namespaces")
    assert bring_about(stage.scores(plane), host) == []


@pytest.fixture
def account(host, plane, tmp_path: Path) -> ServiceAccountScore:
    worker: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "worker", "namespace": "fleet-system"},
    }
    bring_about((objects.ObjectsScore(plane, "account", (worker,)),), host)
    return ServiceAccountScore(plane, tmp_path / "worker", "fleet-system", "worker")


def test_an_account_lets_its_holder_in_with_its_own_rights_and_no_others(host, plane, account):
    assert account.interpret(host).expect().change is Change.CHANGED
    assert account.interpret(host).change is Change.UNCHANGED
    assert mode(account.token) == mode(account.kubeconfig) == 0o600
    whoami = subprocess.run(
        ["kubectl", "--kubeconfig", str(account.kubeconfig), "auth", "whoami", "-o", "json"],
        check=True,
        capture_output=True,
        text=True,
        timeout=30,
    )
    user = json.loads(whoami.stdout)["status"]["userInfo"]["username"]
    assert user == "system:serviceaccount:fleet-system:worker"
    refused = subprocess.run(
        ["kubectl", "--kubeconfig", str(account.kubeconfig), "get", "secrets"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "Forbidden" in refused.stderr


def test_a_token_that_the_server_refuses_is_renewed(host, account):
    account.interpret(host).expect()
    header, payload, _ = account.token.read_text().split(".")
    account.token.write_text(f"{header}.{payload}.forged")
    assert account.interpret(host).expect().details == ("the API refuses the token of worker",)
    assert account.interpret(host).change is Change.UNCHANGED


def test_a_deleted_account_is_told_and_its_new_one_gets_a_token(host, plane, account):
    account.interpret(host).expect()
    _kubectl(plane, "-n", "fleet-system", "delete", "serviceaccount", "worker")

    def refused() -> str:
        return "" if account.differences(host) else "the old token is still taken"

    waiting.wait_for("the token dies with its account", refused, within=30)
    assert account.interpret(host).change is Change.FAILED
