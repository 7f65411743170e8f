"""`examples/fleet_load_test.py`, as its first lines say."""

import os
import subprocess
import sys
from pathlib import Path

from tests.using_lab.cluster import Cluster
from tests.using_lab.images import Images
from tests.using_lab.labs import Status

EXAMPLE = Path(__file__).parents[2] / "examples" / "fleet_load_test.py"


def test_the_example_rolls_out_says_how_long_it_took_and_leaves_nothing(
    status: Status, cluster: Cluster, images: Images
):
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--image", images.v1, "--label", "ring=broad",
         "--deployments", "2"],
        env={**os.environ, "KUBECONFIG": status["kubernetes"]["kubeconfig"]},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if " after " in line]
    assert [line.split(" after ")[0] for line in lines] == ["load-0: 8/8", "load-1: 8/8"]
    assert {"load-0", "load-1"}.isdisjoint(cluster.names("fleetdep", "-n", "fleet-load"))
