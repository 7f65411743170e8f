"""The custom resources that the tests apply, as plain data."""

from typing import Any

API_VERSION = "fleet.nationtech.io/v1alpha1"
NAMESPACE = "fleet-e2e"
OTHER_NAMESPACE = "fleet-e2e-other"

Manifest = dict[str, Any]


def service(name: str, image: str, *, port: int | None = None, **fields: Any) -> Manifest:
    """Describe one service; with *port* its page answers there on the device."""
    ports = {"ports": [{"host": port, "container": 8080}]} if port else {}
    return {"name": name, "image": image, **ports, **fields}


def deployment(
    name: str, *services: Manifest, on: dict[str, str], namespace: str = NAMESPACE
) -> Manifest:
    """Describe a deployment of *services* to the devices labelled as *on* says."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "targetSelector": {"matchLabels": on} if on else {},
            "score": {"type": "PodmanV0", "data": {"services": list(services)}},
        },
    }
