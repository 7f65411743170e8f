"""`lab.down` leaves the host as it was, also when `lab.up` was killed on its way."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import BroughtUp
from tests.e2e.hosts import files_of, processes_of, snapshot
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import ROOT, Lab
from tests.using_lab.manifests import deployment, service

PORT = 18580
MOMENTS = ("control-plane", "registry", "cable dev-02", "agent-dev-02")


def test_up_after_a_killed_up_finishes_the_lab_and_two_labs_stand_side_by_side(
    lab: Lab, short_lived: Lab
):
    before = snapshot()
    _up_until(short_lived, "devices")

    short_lived.up()

    status = short_lived.status()
    assert (status["stage"], status["problems"]) == ("ready", [])
    short_lived.down()
    assert before.differences(snapshot()) == []


def test_down_after_all_this_leaves_the_host_as_it_was(
    lab: Lab,
    first_up: BroughtUp,
    cluster: Cluster,
    devices: tuple[Device, ...],
    images: Images,
):
    if first_up.was_up:
        pytest.skip("the lab was up before the tests, so there is no snapshot from before it")
    fleet = Fleet(cluster, devices)
    selector = fleet.label("last", *devices)
    fleet.apply(deployment("last", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("last", matched=3, running=3)
    paths = lab.status()["paths"]
    assert processes_of(Path(paths["state"]))

    lab.down()

    assert processes_of(Path(paths["state"])) == []
    assert files_of(Path(paths["state"]), Path(paths["logs"])) == []
    assert first_up.before.differences(snapshot()) == []
    assert list(Path(paths["logs"]).rglob("*.log")), "logs outlive the lab"


def test_no_lab_is_stage_down():
    assert Lab("never-made").stage == "down"


def test_down_of_no_lab_does_nothing():
    before = snapshot()

    Lab("never-made").down()

    assert before.differences(snapshot()) == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_down_after_a_killed_up_leaves_the_host_as_it_was(moment: str, short_lived: Lab):
    before = snapshot()

    _up_until(short_lived, moment)
    paths = short_lived.status()["paths"]
    short_lived.down()

    assert processes_of(Path(paths["state"])) == []
    assert files_of(Path(paths["state"]), Path(paths["logs"])) == []
    assert before.differences(snapshot()) == []
    assert short_lived.stage == "down"


@pytest.fixture
def short_lived() -> Iterator[Lab]:
    """A lab of the test's own, down at the end."""
    lab = Lab(f"e2e-{secrets.token_hex(2)}")
    yield lab
    lab.down()


def _up_until(lab: Lab, moment: str) -> None:
    """Begin `lab.up`, and kill it as soon as it speaks of *moment*."""
    with subprocess.Popen(
        lab.command("lab.up"),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
    ) as up:
        assert up.stdout
        said = []
        for line in up.stdout:
            said.append(line)
            if moment in line:
                up.kill()
                return
        pytest.fail(f"lab.up never spoke of {moment}:\n{''.join(said)}")
