"""
Rolls deployments out to every device of a fleet, and says how long each took to run everywhere.

    export KUBECONFIG=…      # of a lab: lab.up --topology load --name load prints it
    ./dev python examples/fleet_load_test.py --image REGISTRY/demo/sleeper:v1 --label ring=broad

What it made it removes again, whatever happens.
"""

import argparse
import functools
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.contracts import resources
from fleet.scores import waiting
from fleet.scores.resources import K8sResourceScore
from fleet.scores.topologies import K8sBareTopology

NAMESPACE = "fleet-load"


def main() -> int:
    """Apply, wait, and show a line per deployment."""
    options = _parse()
    selector = dict(label.split("=", 1) for label in options.label)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    wanted = [_deployment(f"load-{n}", options.image, selector) for n in range(options.deployments)]
    try:
        fleet = K8sBareTopology.from_env()
        K8sResourceScore(namespace).interpret(fleet).expect()
        begun = time.monotonic()
        K8sResourceScore(tuple(wanted)).interpret(fleet).expect()
        for deployment in wanted:
            name = deployment["metadata"]["name"]
            waiting.until(
                f"{name} to run everywhere",
                functools.partial(_missing, fleet, deployment),
                within=options.within,
            )
            print(f"{name}: {_ready(fleet, deployment)} after {time.monotonic() - begun:.2f} s")
    except errors.FleetError as exc:
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        return 1
    finally:
        names = [deployment["metadata"]["name"] for deployment in wanted]
        subprocess.run(
            ["kubectl", "-n", NAMESPACE, "delete", "fleetdep", *names, "--ignore-not-found"],
            check=False,
        )
    return 0


def _deployment(name: str, image: str, selector: Mapping[str, str]) -> dict[str, Any]:
    service = {"name": "load", "image": image, "networkMode": "none"}
    score = {"type": "PodmanV0", "data": {"services": [service]}}
    return {
        "apiVersion": resources.API_VERSION,
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"targetSelector": {"matchLabels": selector}, "score": score},
    }


def _aggregate(fleet: K8sBareTopology, deployment: Mapping[str, Any]) -> Mapping[str, Any]:
    live = fleet.cluster.read(deployment) or {}
    return dict(live.get("status", {}).get("aggregate", {}))


def _missing(fleet: K8sBareTopology, deployment: Mapping[str, Any]) -> str:
    found = _aggregate(fleet, deployment)
    if not found.get("matched"):
        return "no device matches it yet"
    done = found["running"] == found["matched"]
    return "" if done else f"{_ready(fleet, deployment)}; {found.get('lastError') or 'no error'}"


def _ready(fleet: K8sBareTopology, deployment: Mapping[str, Any]) -> str:
    found = _aggregate(fleet, deployment)
    return f"{found.get('running', 0)}/{found.get('matched', 0)}"


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Roll deployments out to a fleet, and time them.")
    parser.add_argument("--image", required=True, help="an image whose program runs on")
    parser.add_argument("--label", action="append", required=True, metavar="KEY=VALUE")
    parser.add_argument("--deployments", type=int, default=3)
    parser.add_argument("--within", type=float, default=120.0, help="seconds for each")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
