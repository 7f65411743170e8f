"""
A lab that was broken goes back to its snapshot, and works; what doesn't fit is refused.

Proved on devices of either back-end: ``tests/e2e`` and ``tests/vm`` collect the same tests.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.insides import Machine
from tests.using_lab.labs import Lab, Status, kill, processes
from tests.using_lab.manifests import deployment, service
from tests.using_lab.waiting import eventually

PORT = 18880
BACK_WITHIN = 90
NAME = "tests"


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot of the lab, taken while each device served the page *says*."""

    told: dict[str, Any]
    says: str

    @property
    def manifest(self) -> Path:
        """The file that says what the snapshot is."""
        return Path(self.told["path"]) / "manifest.json"


@pytest.fixture(scope="module")
def taken(
    lab: Lab, cluster: Cluster, devices: tuple[Device, ...], images: Images
) -> Iterator[Taken]:
    """A snapshot of a fleet that serves a page."""
    fleet = Fleet(cluster, devices)
    selector = fleet.label("resetting", *devices)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    for device in devices:
        device.await_page(PORT, images.v1_says, within=BACK_WITHIN)
    cluster.await_aggregate("kiosk", matched=len(devices), running=len(devices))
    yield Taken(lab.snapshot(NAME), images.v1_says)
    fleet.tidy()


def test_the_lab_goes_on_after_a_snapshot(
    lab: Lab, taken: Taken, cluster: Cluster, devices: tuple[Device, ...]
):
    assert lab.stage == "ready"
    assert set(taken.told["heard"]) == {device.id for device in devices}
    for device in devices:
        device.await_page(PORT, taken.says)
    assert boots(devices) == taken.told["snapshot"]["boots"]


def test_a_fleet_that_is_broken_in_every_part_comes_back(
    lab: Lab, taken: Taken, cluster: Cluster, devices: tuple[Device, ...]
):
    status = lab.status()
    cluster.kubectl("delete", "fleetdep", "--all", "-A", "--wait=false")
    cluster.kubectl("delete", "fleetdev", "--all", "--wait=false")
    running = processes(status)
    kill({part: running[part] for part in ("operator", "nats")})
    shutil.rmtree(Path(status["paths"]["state"]) / "broker" / "store")
    for device in status["devices"]:
        if device["backend"] == "vm":
            take_away(device)
    broken = datetime.now(UTC)

    told = lab.reset(NAME)

    assert lab.stage == "ready"
    heard = {device: datetime.fromisoformat(at) for device, at in told["heard"].items()}
    assert {device for device, at in heard.items() if at > broken} == {d.id for d in devices}
    for device in devices:
        device.await_page(PORT, taken.says, within=BACK_WITHIN)
        device.await_containers("fleet.kiosk.page", of="kiosk")
    cluster.await_aggregate("kiosk", matched=len(devices), running=len(devices))
    assert boots(devices) == taken.told["snapshot"]["boots"]


def test_a_snapshot_of_another_qemu_or_topology_is_refused_and_nothing_is_touched(
    lab: Lab, taken: Taken
):
    before = processes(lab.status())
    content = taken.manifest.read_text()
    manifest = json.loads(content)
    manifest["key"]["qemu"]["qemu-system-x86_64"] = "QEMU emulator version 6.0.0, tcg"
    try:
        taken.manifest.write_text(json.dumps(manifest))
        refused = lab.refusal("lab.reset", "--snapshot", NAME)
    finally:
        taken.manifest.write_text(content)
    assert refused.code == 6
    assert "of another qemu" in refused.out
    assert "6.0.0" in refused.out
    assert processes(lab.status()) == before


def boots(devices: tuple[Device, ...]) -> dict[str, str]:
    """Ask every machine which of its boots this is."""

    def look() -> dict[str, str]:
        """the machines answer"""
        return {
            device.id: subprocess.run(
                device.inside.command("cat", "/proc/sys/kernel/random/boot_id"),
                capture_output=True, text=True, check=True, timeout=60,
            ).stdout.strip()
            for device in devices if isinstance(device.inside, Machine)
        }  # fmt: skip

    return eventually(look, within=BACK_WITHIN)


def take_away(device: Status) -> None:
    """Have libvirt forget a machine, and cut its power."""
    for verb in ("undefine", "destroy"):
        virsh = ("virsh", "--connect", device["libvirt"], verb, device["domain"])
        subprocess.run(virsh, capture_output=True, check=True, timeout=60)
