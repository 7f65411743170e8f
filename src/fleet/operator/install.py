"""
Installs Fleet's custom resource definitions into the cluster of the environment.

    KUBECONFIG=… python -m fleet.operator.install
"""

import sys

from fleet import errors
from fleet.contracts.schemas import crds
from fleet.scores.resources import K8sResourceScore
from fleet.scores.score import Outcome
from fleet.scores.topologies import K8sBareTopology


def install() -> Outcome:
    """Bring the definitions about."""
    return K8sResourceScore(crds.definitions()).interpret(K8sBareTopology.from_env())


def main() -> int:
    """Install, and say in one line what came of it."""
    try:
        outcome = install().expect()
    except errors.FleetError as exc:
        sys.stderr.write(f"{exc.reason}: {exc}\n")
        return 1
    sys.stdout.write(f"{outcome.score}: {outcome.change}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
