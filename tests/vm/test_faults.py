"""What befalls a machine in the field: it comes back by itself, with the right version running."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fleet import errors
from fleet.scores.device.bundle import Bundle
from fleet.scores.device.upgrading import AgentUpgradeScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change
from lab.devices import agent_bundle
from lab.devices.vm import agent_bundles, setup
from lab.devices.vm.device import VmDevice, python_of
from lab.host.ledger import Kind
from lab.images.cloud import catalogue
from lab.lifecycle import status as statuses
from tests.using_lab.buckets import keys
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Container, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab, Status
from tests.using_lab.manifests import deployment, service
from tests.using_lab.waiting import eventually
from tests.vm.machines import Machine

PORT = 18780
BACK_WITHIN = 180
REPORTS_WITHIN = 90.0
BROKEN = {"fleet/agent/main.py": b"raise SystemExit('broken on purpose')\n"}
NEWER = {"fleet/agent/newer.py": b'"""Makes this another version."""\n'}
INSTALLED_WITHIN = 900  # emulated, lists of packages alone take minutes to be read
PACKAGE = "systemd-timesyncd"
FULL = "/var/lib/fleet-podman/full"


@dataclass(frozen=True, slots=True)
class Kiosk:
    """A page on the machine, while something happens to it."""

    fleet: Fleet
    device: Device
    images: Images

    def serve(self, image: str) -> None:
        """Ask for *image*."""
        selector = self.fleet.label("kiosk", self.device)
        self.fleet.apply(deployment("kiosk", service("page", image, port=PORT), on=selector))

    def await_page(self, says: str) -> None:
        """Wait until it serves what *says*, and the fleet says so."""
        self.device.await_page(PORT, says, within=BACK_WITHIN)
        self.fleet.cluster.await_aggregate("kiosk", matched=1, running=1, within=BACK_WITHIN)

    def containers(self) -> dict[str, Container]:
        """Return its running containers."""
        return self.device.containers("kiosk")


@pytest.fixture
def kiosk(fleet: Fleet, devices: tuple[Device, ...], images: Images) -> Kiosk:
    """The first version of a page, served."""
    kiosk = Kiosk(fleet, devices[0], images)
    kiosk.serve(images.v1)
    kiosk.await_page(images.v1_says)
    return kiosk


def test_a_version_that_does_not_run_is_taken_back_and_containers_run_on(
    lab: Lab, machine: Machine, kiosk: Kiosk
):
    before, good = kiosk.containers(), _current(machine)
    broken = _bundle(lab, machine, BROKEN)

    outcome = _upgrade(lab, machine, broken, within=20)

    assert isinstance(outcome.error, errors.NotReady)
    assert "went back" in str(outcome.error)
    assert _current(machine) == good
    assert kiosk.containers() == before
    kiosk.serve(kiosk.images.v2)
    kiosk.await_page(kiosk.images.v2_says)


def test_an_upgrade_runs_when_it_reports_in_and_containers_run_on(
    lab: Lab, machine: Machine, kiosk: Kiosk, original: Bundle
):
    before, newer = kiosk.containers(), _bundle(lab, machine, NEWER)

    outcome = _upgrade(lab, machine, newer).expect()

    assert outcome.change is Change.CHANGED
    assert _current(machine) == str(newer.folder)
    assert kiosk.containers() == before
    assert _upgrade(lab, machine, original).expect().change is Change.CHANGED
    assert kiosk.containers() == before


@pytest.mark.slow
def test_a_full_disk_is_told_and_all_goes_on_once_it_is_freed(machine: Machine, kiosk: Kiosk):
    kiosk.device.podman("image", "prune", "--all", "--force")  # the next version is yet to come
    free = machine.root("df", "--output=avail", "--block-size=1", "/var/lib").split()[-1]
    try:
        machine.asks("fallocate", "--length", free, FULL)  # takes all there is, and then fails
        kiosk.serve(kiosk.images.v2)
        kiosk.fleet.cluster.await_aggregate("kiosk", matched=1, failed=1, within=BACK_WITHIN)
        assert kiosk.images.v1_says in kiosk.device.page(PORT)
    finally:
        machine.root("rm", "--force", FULL)

    kiosk.await_page(kiosk.images.v2_says)


@pytest.mark.slow
def test_an_agent_that_hangs_is_started_anew_by_its_watchdog_and_containers_run_on(
    machine: Machine, kiosk: Kiosk
):
    before, hung = kiosk.containers(), _agent_pid(machine)
    machine.root("kill", "-STOP", hung)

    def look() -> None:
        """another agent runs"""
        assert _agent_pid(machine) not in {"0", hung}

    eventually(look, within=BACK_WITHIN)
    assert kiosk.containers() == before
    kiosk.serve(kiosk.images.v2)
    kiosk.await_page(kiosk.images.v2_says)


@pytest.mark.slow
def test_containers_come_back_after_a_reboot(machine: Machine, kiosk: Kiosk):
    before = kiosk.containers()

    machine.reboot()

    kiosk.await_page(kiosk.images.v1_says)
    assert kiosk.containers().keys() == before.keys()


@pytest.mark.slow
def test_containers_come_back_after_a_reboot_without_a_network(
    lab: Lab, machine: Machine, kiosk: Kiosk
):
    before = machine.boot_id
    # In a moment, so that the command is done before the cable is pulled.
    machine.root("systemd-run", "--on-active=5", "systemctl", "reboot")
    lab.unplug(machine.id)
    try:
        _await_boot_without_network(lab, machine)
    finally:
        lab.plug(machine.id)

    kiosk.await_page(kiosk.images.v1_says)
    assert machine.boot_id != before


@pytest.mark.slow
def test_after_a_power_cut_amid_an_update_the_version_asked_for_runs(
    lab: Lab, machine: Machine, kiosk: Kiosk
):
    kiosk.serve(kiosk.images.v2)
    machine.cut_power()

    lab.up()

    kiosk.await_page(kiosk.images.v2_says)


@pytest.mark.slow
def test_a_device_that_is_deleted_leaves_nothing_running(
    machine: Machine, kiosk: Kiosk, cluster: Cluster, status: Status
):
    machine.root("systemctl", "stop", "fleet-agent.service")
    try:
        cluster.kubectl("delete", "fleetdev", machine.id, "--timeout=60s")
        assert f"{machine.id}.kiosk" not in keys(status, "desired-state")
    finally:
        machine.root("systemctl", "start", "fleet-agent.service")

    def look() -> None:
        """the machine, registered anew without its labels, runs nothing"""
        assert machine.id in cluster.names("fleetdev")
        assert kiosk.device.remains(["kiosk"]) == []

    eventually(look, within=BACK_WITHIN)


@pytest.mark.slow
def test_a_device_that_is_deleted_while_its_agent_lives_on_is_registered_again(
    lab: Lab, machine: Machine, cluster: Cluster
):
    before = machine.boot_id
    cluster.kubectl("delete", "fleetdev", machine.id, "--timeout=60s")

    lab.up()

    assert machine.id in cluster.names("fleetdev")
    assert machine.boot_id == before


@pytest.mark.slow
@pytest.mark.timeout(INSTALLED_WITHIN)
def test_what_an_older_image_lacks_is_installed_by_the_next_up_over_this_hosts_way_out(
    lab: Lab, machine: Machine, host: Any
):
    machine.root("dpkg", "--purge", PACKAGE)
    place, _ = statuses.device_of(lab.name, machine.id)
    place.ledger.note(Kind.DOMAIN, machine.id, set_up="by an older checkout")

    lab.up()

    assert host.package(PACKAGE).is_installed
    assert host.file("/etc/apt/apt.conf.d/90fleet-lab").exists is False


@pytest.fixture
def original(lab: Lab, machine: Machine) -> Iterator[Bundle]:
    """The version that the lab set up; it is put back whatever the test came to."""
    found = agent_bundles.bundle_of(_device(lab, machine).image)
    yield found
    if _current(machine) != str(found.folder):
        _upgrade(lab, machine, found).expect()


def _device(lab: Lab, machine: Machine) -> VmDevice:
    _, device = statuses.device_of(lab.name, machine.id)
    assert isinstance(device, VmDevice)
    return device


def _bundle(lab: Lab, machine: Machine, over: dict[str, bytes]) -> Bundle:
    image = catalogue.find(_device(lab, machine).image)
    return agent_bundle.bundle(image.arch, python_of(image), laid_over=over)


def _upgrade(lab: Lab, machine: Machine, bundle: Bundle, *, within: float = REPORTS_WITHIN):
    """Upgrade over SSH; it has reported in once the cluster knows the device by that version."""
    host, device = statuses.device_of(lab.name, machine.id)
    assert isinstance(device, VmDevice)
    cluster = Cluster.of(lab.status())

    def missing() -> str:
        known = cluster.get("fleetdev", machine.id)["status"]["agentVersion"]
        return "" if known == bundle.version else f"the cluster knows it by version {known}"

    with setup.log_in(host, device) as there:
        score = AgentUpgradeScore(bundle, missing, within)
        return score.interpret(LinuxHostTopology(there))


def _agent_pid(machine: Machine) -> str:
    argv = ("systemctl", "show", "--property=MainPID", "--value", "fleet-agent.service")
    return machine.root(*argv).strip()


def _current(machine: Machine) -> str:
    return machine.root("readlink", "--canonicalize", "/opt/fleet-agent/current").strip()


def _await_boot_without_network(lab: Lab, machine: Machine) -> None:
    """The serial console shows a login: nothing else comes out of the machine now."""
    log = machine.serial
    begins = log.stat().st_size

    def look() -> None:
        """the serial log shows that the machine has booted anew"""
        assert b" login:" in log.read_bytes()[begins:]

    eventually(look, within=BACK_WITHIN)
