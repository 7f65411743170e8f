"""`kill -9` of any part, then `lab.up`: the part is back, and what was healthy was not touched."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Container, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab, kill, processes
from tests.using_lab.manifests import deployment, service

PORT = 18480
PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "nats",
    "registry",
    "operator",
    "agent dev-01",
    "podman dev-01",
)

pytestmark = pytest.mark.usefixtures("sums_hold")


@dataclass(frozen=True, slots=True)
class Resident:
    """A deployment that runs on every device throughout the module."""

    fleet: Fleet
    images: Images
    name: str = "resident"

    def containers(self) -> dict[str, dict[str, Container]]:
        """Return its containers by device."""
        return {device.id: device.containers(self.name) for device in self.fleet.devices}

    def await_health(self) -> None:
        """Wait until the status says that it runs everywhere."""
        everywhere = len(self.fleet.devices)
        self.fleet.cluster.await_aggregate(self.name, matched=everywhere, running=everywhere)

    def send_another(self) -> None:
        """Send another deployment all the way and back: each part does its work."""
        device = self.fleet.devices[0]
        canary = service("page", self.images.v2, port=PORT + 1, pullPolicy="Always")
        self.fleet.apply(deployment("canary", canary, on=self.fleet.label("canary", device)))
        self.fleet.cluster.await_aggregate("canary", matched=1, running=1)
        device.await_page(PORT + 1, self.images.v2_says)
        self.fleet.delete("canary")
        assert device.remains(["canary"]) == []


@pytest.fixture(scope="module")
def resident(cluster: Cluster, devices: tuple[Device, ...], images: Images) -> Iterator[Resident]:
    """The resident deployment, running everywhere."""
    resident = Resident(Fleet(cluster, devices), images)
    cluster.kubectl("label", "fleetdev", "--all", "e2e-resident=yes", "--overwrite")
    page = service("page", images.v1, port=PORT)
    resident.fleet.apply(deployment(resident.name, page, on={"e2e-resident": "yes"}))
    resident.await_health()
    yield resident
    resident.fleet.tidy()
    cluster.kubectl("label", "fleetdev", "--all", "e2e-resident-")


@pytest.mark.parametrize("part", PARTS)
def test_a_killed_part_is_brought_back_and_nothing_else_is_touched(
    part: str, resident: Resident, lab: Lab
):
    before, containers = processes(lab.status()), resident.containers()

    kill({part: before[part]})
    lab.up()

    status = lab.status()
    after = processes(status)
    assert {name for name in before if after.get(name) != before[name]} == {part}
    assert (status["stage"], status["problems"]) == ("ready", [])
    assert resident.containers() == containers
    resident.await_health()
    resident.send_another()


def test_everything_killed_at_once_comes_back_with_the_containers_untouched(
    resident: Resident, lab: Lab
):
    before, containers = processes(lab.status()), resident.containers()

    kill(before)
    lab.up()

    assert set(processes(lab.status())) == set(before)
    assert resident.containers() == containers
    resident.await_health()
    resident.send_another()


def test_status_names_a_dead_part_as_a_problem(lab: Lab, resident: Resident):
    kill({"registry": processes(lab.status())["registry"]})

    status = lab.status()

    assert status["stage"] != "ready"
    assert [problem for problem in status["problems"] if "registry" in str(problem)]
    lab.up()
    assert lab.status()["problems"] == []


def test_a_container_removed_behind_the_agents_back_is_made_again(resident: Resident):
    device = resident.fleet.devices[0]

    device.podman("rm", "--force", "--time=0", "fleet.resident.page")

    device.await_containers("fleet.resident.page", of=resident.name)
    resident.await_health()


def test_a_device_that_was_taken_off_the_fleet_while_its_agent_lived_on_is_registered_again(
    resident: Resident, lab: Lab, cluster: Cluster
):
    before, taken = processes(lab.status()), resident.fleet.devices[0].id

    cluster.kubectl("delete", "fleetdev", taken)
    lab.up()

    after = processes(lab.status())
    assert {name for name in before if after.get(name) != before[name]} == {f"agent {taken}"}
    cluster.kubectl("label", "fleetdev", taken, "e2e-resident=yes")
    resident.await_health()
