"""Literals that other programs, dashboards and scripts grep for: docs/contracts.md, section 1."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from fleet import directories
from fleet.agent import settings
from fleet.contracts import kv, resources
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.schemas import crds

ROOT = Path(__file__).parents[2]
SPELLS_THEM = ROOT / "src/fleet/contracts/kv.py"
CODE = [path for top in ("src", "lab") for path in sorted((ROOT / top).rglob("*.py"))]

PI = DeviceId("pi-01")
WEB = DeploymentName("hello-web")


@pytest.mark.parametrize(
    ("built", "locked"),
    [
        (kv.BUCKET_DESIRED_STATE, "desired-state"),
        (kv.BUCKET_DEVICE_INFO, "device-info"),
        (kv.BUCKET_DEVICE_STATE, "device-state"),
        (kv.BUCKET_DEVICE_HEARTBEAT, "device-heartbeat"),
        (kv.desired_state_key(PI, WEB), "pi-01.hello-web"),
        (kv.device_info_key(PI), "info.pi-01"),
        (kv.device_state_key(PI, WEB), "state.pi-01.hello-web"),
        (kv.device_heartbeat_key(PI), "heartbeat.pi-01"),
        (resources.GROUP, "fleet.nationtech.io"),
        (resources.FINALIZER, "fleet.nationtech.io/finalizer"),
        (settings.CONFIG_VARIABLE, "FLEET_AGENT_CONFIG"),
        (str(settings.DEFAULT_CONFIG), "/etc/fleet-agent/config.toml"),
        (directories.DATA_DIR_VARIABLE, "HARMONY_DATA_DIR"),
    ],
    ids=lambda text: text,
)
def test_a_locked_literal_is_as_it_was(built: str, locked: str):
    assert built == locked


@pytest.mark.parametrize(("kind", "short"), [("Deployment", "fleetdep"), ("Device", "fleetdev")])
def test_a_kind_has_its_short_name(kind: str, short: str):
    made = [yaml.safe_load(text) for text in crds.manifests().values()]
    (names,) = (crd["spec"]["names"] for crd in made if crd["spec"]["names"]["kind"] == kind)
    assert short in names["shortNames"]


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the strings of a module, and what its f-strings begin with, but no docstring."""
    prose = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def spells(text: str) -> bool:
    """Tell whether a literal is a bucket, a bucket's stream, or the beginning of a key."""
    beginnings = ("info.", "state.", "heartbeat.")
    return text.removeprefix("KV_").removeprefix("$KV.").rstrip(".>") in kv.BUCKETS or any(
        text == beginning for beginning in beginnings
    )


@pytest.mark.parametrize("text", ["desired-state", "KV_device-info", "$KV.device-state.>", "info."])
def test_a_bucket_or_key_is_recognised(text: str):
    assert spells(text)


def test_nothing_else_spells_a_bucket_or_a_key():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in CODE
        if path != SPELLS_THEM
        for line, text in literals(ast.parse(path.read_text()))
        if spells(text)
    ]
    assert found == []
