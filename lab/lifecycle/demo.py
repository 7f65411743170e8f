"""The demo: a Deployment of the lab's own image, ready to be applied."""

from collections.abc import Mapping
from pathlib import Path

import yaml

from fleet.scores.score import Score
from lab.host.files import FileScore
from lab.host.lab_host import LabHost

TEMPLATE = Path(__file__).resolve().parents[2] / "examples" / "hello-web.yaml"
HOST_PORT = 8080
_REGISTRY = "REGISTRY"


def manifest_of(host: LabHost) -> Path:
    """Return the manifest that the user applies."""
    return host.state / "demo" / "hello-web.yaml"


def render(template: str, registry: str) -> str:
    """Put the address of the lab's registry into the example."""
    return template.replace(f"{_REGISTRY}/", f"{registry}/")


def selects() -> Mapping[str, str]:
    """Return the labels that a device needs to run the demo."""
    wanted = yaml.safe_load(TEMPLATE.read_text())["spec"]["targetSelector"]["matchLabels"]
    return dict(wanted)


def score(host: LabHost, registry: str) -> Score[LabHost]:
    """Return the score of the demo's manifest."""
    return FileScore(manifest_of(host), render(TEMPLATE.read_text(), registry))
