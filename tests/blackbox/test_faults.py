"""
What a hub may lose without a device losing anything.

Kills of single parts are in tests/e2e/test_repair.py; here whole memories go, and time passes.
"""

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from lab.soak.judgement.wire import Wire
from tests.blackbox.buckets import ALL, DESIRED, STATE, Buckets
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Container, Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab, Process, Status, kill, process, processes
from tests.using_lab.manifests import NAMESPACE, OTHER_NAMESPACE, Manifest, deployment, service
from tests.using_lab.waiting import eventually, steadily

PORT = 18780
STOPPED_SECONDS = 48  # four of the lab's silences
HEARD_AGAIN_WITHIN = 120  # a watch finds out by the second idle heartbeat that it has missed
Devices = tuple[Device, ...]
Containers = Mapping[str, Mapping[str, Container]]


@dataclass(frozen=True, slots=True)
class Resident:
    """A deployment that runs on every device while the hub suffers."""

    cluster: Cluster
    devices: Devices
    manifest: Manifest

    def apply(self) -> None:
        """Apply it, and wait until it runs everywhere."""
        self.cluster.apply(self.manifest)
        self.await_health()

    def await_health(self, within: float = 60) -> None:
        """Wait until the status says that it runs everywhere."""
        everywhere = len(self.devices)
        self.cluster.await_aggregate(
            "resident", matched=everywhere, running=everywhere, within=within
        )

    def containers(self) -> Containers:
        """Return its containers by device."""
        return {device.id: device.containers("resident") for device in self.devices}


@pytest.fixture
def resident(
    lab: Lab, fleet: Fleet, cluster: Cluster, devices: Devices, images: Images
) -> Iterator[Resident]:
    """It selects by labels that the devices bring: what an administrator set may be forgotten."""
    manifest = deployment("resident", service("page", images.v1, port=PORT), on={})
    manifest["spec"]["targetSelector"] = {
        "matchExpressions": [{"key": "site", "operator": "In", "values": ["montreal", "zurich"]}]
    }
    resident = Resident(cluster, devices, manifest)
    fleet.applied.add("resident")
    resident.apply()
    yield resident
    lab.up()


def _nats_forgets(lab: Lab, cluster: Cluster, resident: Resident) -> None:
    victim = processes(lab.status())["nats"]
    store = _store(victim)
    kill({"nats": victim})
    shutil.rmtree(store)
    lab.up()


def _buckets_vanish(lab: Lab, cluster: Cluster, resident: Resident) -> None:
    with _wire(lab.status()) as buckets:
        for bucket in ALL:
            buckets.drop(bucket)


def _etcd_forgets(lab: Lab, cluster: Cluster, resident: Resident) -> None:
    found = processes(lab.status())
    victims = {name: found[name] for name in ("kube-apiserver", "etcd")}
    data = Path(psutil.Process(found["etcd"].pid).cwd()) / "etcd"
    kill(victims)
    shutil.rmtree(data)
    lab.up()
    cluster.ensure_namespaces(NAMESPACE, OTHER_NAMESPACE)
    cluster.apply(resident.manifest)


@pytest.mark.parametrize("forgets", [_nats_forgets, _buckets_vanish, _etcd_forgets])
def test_a_hub_that_lost_its_memory_stops_nothing_and_has_the_right_status_again__f(
    forgets: Callable[[Lab, Cluster, Resident], None],
    resident: Resident,
    lab: Lab,
    cluster: Cluster,
):
    before = resident.containers()

    forgets(lab, cluster, resident)

    with _wire(lab.status()) as buckets:
        for device in resident.devices:
            _await_told(buckets, device)
    resident.await_health(within=HEARD_AGAIN_WITHIN)
    assert resident.containers() == before
    _hears(resident, within=HEARD_AGAIN_WITHIN)
    assert resident.containers() == before


def test_an_operator_that_was_stopped_for_long_then_moves_the_right_devices_only(
    resident: Resident,
    lab: Lab,
    fleet: Fleet,
    cluster: Cluster,
    images: Images,
):
    leaves, stays, comes = resident.devices
    selector = fleet.label("moved", leaves, stays)
    fleet.apply(deployment("moved", service("page", images.v1, port=PORT + 1), on=selector))
    cluster.await_aggregate("moved", matched=2, running=2)
    before, kept = resident.containers(), stays.containers("moved")
    ready = {
        device.id: cluster.condition("fleetdev", device.id, "Ready") for device in resident.devices
    }

    with _stopped(processes(lab.status())["operator"]):
        fleet.unlabel(leaves, stays)
        fleet.label("moved", stays, comes)

        def look() -> None:
            assert resident.containers() == before
            assert stays.containers("moved") == kept

        steadily(look, lasting=STOPPED_SECONDS, every=2)

    comes.await_containers("fleet.moved.page", of="moved")
    leaves.await_containers(of="moved")
    cluster.await_aggregate("moved", matched=2, running=2)
    assert stays.containers("moved") == kept
    assert resident.containers() == before
    resident.await_health()
    for device, condition in ready.items():
        assert cluster.condition("fleetdev", device, "Ready") == condition


def _hears(resident: Resident, *, within: float) -> None:
    """Each device is told of something new, and tells of it."""
    manifest = deployment(
        "canary", resident.manifest["spec"]["score"]["data"]["services"][0], on={}
    )
    page = manifest["spec"]["score"]["data"]["services"][0] | {"ports": []}
    manifest["spec"]["score"]["data"]["services"] = [page]
    manifest["spec"]["targetSelector"] = resident.manifest["spec"]["targetSelector"]
    resident.cluster.apply(manifest)
    everywhere = len(resident.devices)
    resident.cluster.await_aggregate(
        "canary", matched=everywhere, running=everywhere, within=within
    )
    resident.cluster.kubectl("delete", "fleetdep", "canary", "-n", NAMESPACE, "--timeout=60s")
    assert [device.remains(["canary"]) for device in resident.devices] == [[], [], []]


def _await_told(buckets: Buckets, device: Device) -> None:
    def look() -> dict[str, Any]:
        found = buckets.read(DESIRED, f"{device.id}.resident")
        told = buckets.read(STATE, f"state.{device.id}.resident")
        assert found
        assert told
        assert (told["phase"], told["revision"]) == ("Running", found["revision"])
        return told

    look.__doc__ = f"the buckets say again what {device.id} runs"
    eventually(look, within=HEARD_AGAIN_WITHIN)


def _store(nats: Process) -> Path:
    """Find where NATS keeps its streams, by the configuration that it runs with."""
    argv = psutil.Process(nats.pid).cmdline()
    text = Path(argv[argv.index("--config") + 1]).read_text()
    found = re.search(r"""["']?store_dir["']?\s*[:=]?\s*["']([^"']+)""", text)
    assert found, "nats.conf has no store_dir"
    return Path(found[1])


@contextmanager
def _stopped(victim: Process) -> Iterator[None]:
    assert process(victim.pid) == victim
    os.kill(victim.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(victim.pid, signal.SIGCONT)


@contextmanager
def _wire(status: Status) -> Iterator[Buckets]:
    with Wire(status["nats"]["url"], Path(status["nats"]["credentials"]["admin"])) as wire:
        yield Buckets(wire)
