"""
The contract of `lab.plugin.port.LabPort`: the fake of the plugin's tests and the real lab keep it.

The tests of one lab build on each other: it comes up once, and goes down at the end.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import LabError, TopologyInvalid
from lab.plugin.port import LabPort
from lab.plugin.session.invoked_lab import InvokedLab
from tests.fake_lab import FakeLab
from tests.lab_host import needs

pytestmark = pytest.mark.timeout(300)

DEVICE_FACTS = {"id", "address", "arch", "backend", "labels", "rootless"}
REAL = pytest.param("real", marks=needs("podman", "etcd", "nats-server"))


class Labs:
    """Labs of one kind."""

    def __init__(self, kind: str, directory: Path) -> None:
        self._kind = kind
        self._directory = directory
        self.log = directory / "lab.log"

    def lab(self, name: str = f"port-{os.getpid()}", topology: str = "") -> LabPort:
        """Return the lab *name*, which may be up or not."""
        if self._kind == "fake":
            return FakeLab.planned(self._directory, name, topology)
        return InvokedLab(name, topology)


@pytest.fixture(scope="module", params=["fake", REAL])
def labs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Labs]:
    """Labs of one kind; whatever came up goes down."""
    if request.param == "real" and os.geteuid() != 0:
        pytest.skip("the lab needs root")
    made = Labs(request.param, tmp_path_factory.mktemp("labs"))
    yield made
    made.lab().down(made.log)


@pytest.fixture(scope="module")
def up(labs: Labs) -> LabPort:
    """A lab that is up."""
    lab = labs.lab(topology="smoke")
    lab.up(labs.log)
    return lab


def test_a_lab_that_is_not_there_has_no_topology_and_no_devices(labs: Labs):
    status = labs.lab("not-there").status()

    assert (status["topology"], status["devices"]) == (None, [])
    assert not (labs.lab("not-there").state / "lab.json").exists()


def test_taking_down_what_is_not_there_is_no_error(labs: Labs):
    labs.lab("not-there").down(labs.log)


@pytest.mark.parametrize("name", ["Mine", "", "a/b", "x" * 40])
def test_what_is_no_name_is_refused(labs: Labs, name: str):
    with pytest.raises(TopologyInvalid, match="is no name for a lab"):
        _ = labs.lab(name).state


def test_a_lab_that_is_up_tells_what_the_plugin_reads(labs: Labs, up: LabPort):
    status = up.status()

    assert (status["topology"], status["stage"]) == ("smoke", "ready")
    assert status["problems"] == []
    assert status["devices"]
    assert all(each.keys() >= DEVICE_FACTS for each in status["devices"])
    assert status["kubernetes"].keys() >= {"backend", "kubeconfig", "server"}
    assert status["nats"].keys() >= {"url", "credentials"}
    assert Path(status["paths"]["logs"]) == up.state / "logs"
    assert labs.log.read_text()


def test_a_lab_has_logs_of_its_devices_its_operator_and_its_stages(up: LabPort):
    device = up.status()["devices"][0]["id"]

    for name in (f"agent-{device}.log", "operator.log", "events.jsonl"):
        assert (up.state / "logs" / name).stat().st_size, name


def test_a_device_answers_with_code_output_and_errors(up: LabPort):
    device = up.status()["devices"][0]["id"]
    answer = up.ask(device, ("sh", "-c", "echo out; echo err >&2; exit 7"), within=60)

    assert (answer.ok, answer.code, answer.out, answer.err) == (False, 7, "out\n", "err\n")
    assert up.ask(device, ("fleet-agent", "status"), within=60).ok


def test_a_device_that_is_not_there_answers_that(up: LabPort):
    answer = up.ask("nobody", ("true",), within=60)

    assert answer.code == 5
    assert f"lab {up.status()['name']} has no device nobody" in answer.err


def test_bringing_it_up_again_changes_no_topology(labs: Labs, up: LabPort):
    labs.lab().up(labs.log)

    with pytest.raises(LabError, match="has topology smoke, not load"):
        labs.lab(topology="load").up(labs.log)
    assert up.status()["topology"] == "smoke"


def test_taking_it_down_leaves_its_logs_alone(labs: Labs, up: LabPort):
    (up.state / "a-mark").touch()
    (up.state / "leases").mkdir()

    up.down(labs.log)

    assert [path.name for path in up.state.iterdir()] == ["logs"]
    assert up.status()["topology"] is None
