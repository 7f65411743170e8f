"""Whatever is put into a bucket, nobody ends of it, nobody else is affected, and nothing stays."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.blackbox.buckets import ALL, DESIRED, HEARTBEAT, INFO, STATE, Buckets, Refused
from tests.blackbox.conftest import Join
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device, fetch
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab, Process, Status, processes
from tests.using_lab.manifests import Manifest, deployment, service
from tests.using_lab.waiting import eventually

PORT = 18680
LARGEST = {DESIRED: 256 << 10, INFO: 64 << 10, STATE: 64 << 10, HEARTBEAT: 4 << 10}
WORD = "garbage"
Devices = tuple[Device, ...]

PREFIX = {DESIRED: "", INFO: "info.", STATE: "state.", HEARTBEAT: "heartbeat."}
FOREIGN_KEYS = ("garbage", "Garbage_.x", "info.Garbage!", "state.garbage", "a.b.garbage.d.e")
VALUES: tuple[object, ...] = (
    bytes(range(256)) * 2,
    b"",
    b'{"device_id": "dev-0',
    b"[" * 20_000 + b"]" * 20_000,
    b"[" * 4000,
    b'{"from_the_future": ' + b"[" * 1900 + b"]" * 1900 + b"}",
    [1, 2, 3],
    None,
    {"device_id": 7, "labels": "none", "deployment": {}, "phase": 3, "revision": [], "at": "noon"},
    {"type": 1, "data": "much", "revision": None, "owner": ["me"]},
    {"device_id": "somebody-else", "deployment": "kiosk", "phase": "Running", "revision": "f",
     "labels": {"site": "stolen"}, "at": "2026-01-01T00:00:00Z"},
    {"device_id": "../..", "labels": {"x" * 100_000: "y" * 100_000}, "at": "9" * 10_000},
)  # fmt: skip


@pytest.mark.parametrize("bucket", ALL)
def test_garbage_in_a_bucket_ends_nobody_and_touches_nothing_else(
    *,
    bucket: str,
    buckets: Buckets,
    join: Join,
    fleet: Fleet,
    cluster: Cluster,
    devices: Devices,
    images: Images,
    lab: Lab,
):
    device, _, beside = devices
    other = join({"garbage": "beside"})
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    containers, before = device.containers(), _programs(lab.status())
    labels = cluster.get("fleetdev", device.id)["metadata"]["labels"]

    with_garbage = [*_keys(bucket, device.id), *_keys(bucket, other.id), *FOREIGN_KEYS]
    with_garbage += [f"{key}-{WORD}" for key in _keys(bucket, "nobody")]
    told = {key: buckets.get(bucket, key) for key in with_garbage}
    for key in with_garbage:
        for garbage in _fitting(bucket):
            buckets.put(bucket, key, garbage)

    try:
        fleet.apply(deployment("passage", service("page", images.v2, port=PORT + 1), on=selector))
        fleet.apply(deployment("elsewhere", service("page", images.v1), on={"make": other.id}))
        cluster.await_aggregate("passage", matched=1, running=1)
        cluster.await_aggregate("elsewhere", matched=1, running=1)
        cluster.await_aggregate("kiosk", matched=1, running=1)
        assert device.containers().items() >= containers.items()
        assert _programs(lab.status()) == before
        assert cluster.get("fleetdev", device.id)["metadata"]["labels"] == labels
        assert cluster.condition("fleetdev", device.id, "Ready")["status"] == "True"
        assert cluster.condition("fleetdev", beside.id, "Ready")["status"] == "True"
        assert not [name for name in cluster.names("fleetdev") if WORD in name or "some" in name]
    finally:
        for key, value in told.items():
            if value is None:
                buckets.mark(bucket, key)
            elif bucket in {INFO, STATE}:  # the others are written again by their owners
                buckets.put(bucket, key, value)
        _sweep(buckets, bucket, {key for key, value in told.items() if value is None})


@pytest.mark.parametrize("bucket", ALL)
def test_a_value_too_large_is_refused_by_the_server_itself(bucket: str, buckets: Buckets):
    key = f"{PREFIX[bucket]}{WORD}.huge"

    with pytest.raises(Refused, match="message size exceeds maximum"):
        buckets.put(bucket, key, b"x" * (LARGEST[bucket] + 1))

    assert buckets.get(bucket, key) is None


def test_a_state_of_a_deployment_that_does_not_exist_is_reported_and_nothing_else(
    buckets: Buckets, join: Join, devices: Devices, cluster: Cluster, status: Status
):
    device = devices[0].id
    state = {"device_id": device, "deployment": WORD, "phase": "Running", "revision": "f00"}
    try:
        buckets.put(STATE, f"state.{device}.{WORD}", state)

        def look() -> None:
            """the operator's metrics count an orphan"""
            (line,) = re.findall(
                r"^fleet_orphans [0-9.]+", fetch(status["operator"]["metrics"]), re.MULTILINE
            )
            assert float(line.split()[1]) >= 1

        eventually(look, within=60)
        assert buckets.get(STATE, f"state.{device}.{WORD}")
        assert cluster.condition("fleetdev", device, "Ready")["status"] == "True"
    finally:
        buckets.purge(STATE, f"state.{device}.{WORD}")


def test_a_heartbeat_of_a_device_that_never_registered_makes_no_device(
    buckets: Buckets, join: Join, cluster: Cluster
):
    name = f"nobody-{WORD}"
    try:
        beat = {"device_id": name, "at": "2026-01-01T00:00:00Z"}
        buckets.put(HEARTBEAT, f"heartbeat.{name}", beat)
        join()  # who comes later is seen, so what came before has been
        assert name not in cluster.names("fleetdev")
    finally:
        buckets.purge(HEARTBEAT, f"heartbeat.{name}")


def test_two_agents_with_one_id_notice_each_other_and_are_told_of(join: Join, cluster: Cluster):
    first = join()
    second = join(device_id=first.id)

    said = cluster.await_condition("fleetdev", first.id, "DuplicateAgent", "True")

    assert said["message"]

    def look() -> None:
        """both have noticed their twin"""
        assert first.twins
        assert second.twins

    eventually(look, within=60)


Write = Callable[[object], None]


@pytest.fixture
def write(buckets: Buckets, devices: Devices) -> Iterator[Write]:
    """Write what a real device is to run, by hand: no resource is behind it."""
    device = devices[2].id

    def put(value: object) -> None:
        buckets.put(DESIRED, f"{device}.{WORD}", value)

    yield put
    buckets.mark(DESIRED, f"{device}.{WORD}")
    devices[2].await_containers(of=WORD)
    _sweep(buckets, DESIRED, {f"{device}.{WORD}"})


def test_an_agent_runs_what_an_envelope_of_the_future_wants_and_the_operator_leaves_it_alone(
    write: Write, buckets: Buckets, devices: Devices, images: Images, join: Join
):
    device = devices[2]
    write(_envelope(service("page", images.v1)))

    _await_state(buckets, device, "Running", "1")
    (container,) = device.containers(WORD).values()
    join()  # the operator has gone on meanwhile

    assert buckets.read(DESIRED, f"{device.id}.{WORD}") == _envelope(service("page", images.v1))
    assert list(device.containers(WORD).values()) == [container]


@pytest.mark.parametrize(
    ("bad", "reason", "word"),
    [
        pytest.param({"sails": 3}, "UnsupportedScore", "sails", id="unknown field of a service"),
        pytest.param({"image": 7}, "InvalidDesiredState", "image", id="wrong type"),
        pytest.param({"ports": [{"host": 70000, "container": 1}]}, "InvalidDesiredState", "port",
                     id="no port"),
    ],
)  # fmt: skip
def test_a_score_that_an_agent_cannot_read_is_named_and_the_previous_runs_on(
    *,
    bad: dict[str, Any],
    reason: str,
    word: str,
    write: Write,
    buckets: Buckets,
    devices: Devices,
    images: Images,
):
    device, page = devices[2], service("page", images.v1)
    write(_envelope(page))
    _await_state(buckets, device, "Running", "1")
    before = device.containers(WORD)

    write(_envelope(page | bad, revision="2"))

    state = _await_state(buckets, device, "Failed")
    assert state["error"]["reason"] == reason
    assert word in state["error"]["message"]
    assert device.containers(WORD) == before
    write(b"\x00\xff no JSON at all")
    state = _await_state(buckets, device, "Failed", "")
    assert state["error"]["reason"] == "InvalidDesiredState"
    assert device.containers(WORD) == before
    write(_envelope(page, revision="3"))
    _await_state(buckets, device, "Running", "3")
    assert device.containers(WORD) == before


def test_what_the_operator_wrote_is_put_right_when_another_hand_spoils_it(
    buckets: Buckets,
    fleet: Fleet,
    cluster: Cluster,
    devices: Devices,
    images: Images,
):
    device = devices[0]
    selector = fleet.label("kiosk", device)
    fleet.apply(deployment("kiosk", service("page", images.v1, port=PORT), on=selector))
    cluster.await_aggregate("kiosk", matched=1, running=1)
    before, right = device.containers("kiosk"), buckets.read(DESIRED, f"{device.id}.kiosk")

    buckets.put(DESIRED, f"{device.id}.kiosk", b"\x00garbage")

    def look() -> None:
        """the operator has put its word back"""
        assert buckets.read(DESIRED, f"{device.id}.kiosk") == right

    eventually(look, within=30)
    cluster.await_aggregate("kiosk", matched=1, running=1)
    assert device.containers("kiosk") == before


def _fitting(bucket: str) -> list[bytes]:
    """List what the server lets into a bucket."""
    written = (v if isinstance(v, bytes) else json.dumps(v).encode() for v in VALUES)
    return [value for value in written if len(value) <= LARGEST[bucket]]


def _envelope(*services: Manifest, revision: str = "1") -> dict[str, Any]:
    owner = {"namespace": "elsewhere", "name": WORD, "uid": "of-nobody", "epoch": "future"}
    return {
        "type": "PodmanV0",
        "data": {"services": list(services)},
        "revision": revision,
        "owner": owner,
        "weather": {"tomorrow": "teal"},
    }


def _keys(bucket: str, device: str) -> list[str]:
    if bucket in {INFO, HEARTBEAT}:
        return [f"{PREFIX[bucket]}{device}"]
    return [f"{PREFIX[bucket]}{device}.{name}" for name in ("kiosk", WORD)]


def _programs(status: Status) -> dict[str, Process]:
    return {
        name: process
        for name, process in processes(status).items()
        if name == "operator" or name.startswith("agent")
    }


def _await_state(
    buckets: Buckets, device: Device, phase: str, revision: str | None = None
) -> dict[str, Any]:
    def look() -> dict[str, Any]:
        state = buckets.read(STATE, f"state.{device.id}.{WORD}")
        assert state is not None
        assert state["phase"] == phase, state
        assert revision in {None, state["revision"]}, state
        return state

    look.__doc__ = f"{device.id} says {phase} of revision {revision}"
    return eventually(look, within=60)


def _sweep(buckets: Buckets, bucket: str, keys: set[str]) -> None:
    """Purge *keys*, once what followed from them is gone."""
    told = {f"state.{key}" for key in keys} if bucket == DESIRED else set()

    def look() -> None:
        """no agent speaks any more of what was written by hand"""
        assert {key for key in told if buckets.get(STATE, key)} == set()

    eventually(look, within=60)
    for key in keys:
        buckets.purge(bucket, key)
    for key in told:
        buckets.purge(STATE, key)
