"""
The bytes on the wire.

A golden here changes only together with contracts.md: agents of another age
and make read these.
"""

from datetime import UTC, datetime

import msgspec
import pytest

from fleet import errors
from fleet.contracts.messages import (
    DESIRED_STATE,
    DEVICE_HEARTBEAT,
    DEVICE_INFO,
    DEVICE_STATE,
    DeploymentState,
    DeviceInfo,
    HeartbeatPayload,
    Inventory,
    Owner,
    Phase,
    Problem,
    ReconcileScore,
    ServiceState,
    StateError,
)
from fleet.contracts.names import DeploymentName, DeviceId

PI, WEB = DeviceId("pi-01"), DeploymentName("web")
AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)

GOLDEN = {
    "desired-state": (
        DESIRED_STATE,
        "pi-01.web",
        ReconcileScore(
            type="PodmanV0",
            data={"services": [{"name": "web", "image": "registry/web:1"}]},
            revision="c0ffee",
            owner=Owner(namespace="fleet-demo", name="web", uid="u-1", generation=3),
        ),
        (
            b'{"type":"PodmanV0","data":{"services":[{"name":"web","image":"registry/web:1"}]},'
            b'"revision":"c0ffee",'
            b'"owner":{"namespace":"fleet-demo","name":"web","uid":"u-1","generation":3}}'
        ),
    ),
    "device-info": (
        DEVICE_INFO,
        "info.pi-01",
        DeviceInfo(
            device_id=PI,
            labels={"site": "lab"},
            instance="i-1",
            inventory=Inventory(
                hostname="pi",
                arch="aarch64",
                os="Debian 12",
                kernel="6.1",
                cpus=4,
                memory_bytes=1024,
                disk_bytes=2048,
                runtimes={"podman": "4.3.1"},
            ),
            agent_version="0.1.0",
            score_types=("PodmanV0",),
            problems=(Problem(reason="RuntimeUnavailable", message="no socket"),),
            updated_at=AT,
        ),
        (
            b'{"device_id":"pi-01","labels":{"site":"lab"},"instance":"i-1",'
            b'"inventory":{"hostname":"pi","arch":"aarch64","os":"Debian 12","kernel":"6.1",'
            b'"cpus":4,"memory_bytes":1024,"disk_bytes":2048,"runtimes":{"podman":"4.3.1"}},'
            b'"agent_version":"0.1.0","score_types":["PodmanV0"],'
            b'"problems":[{"reason":"RuntimeUnavailable","message":"no socket"}],'
            b'"updated_at":"2026-01-02T03:04:05.678000Z"}'
        ),
    ),
    "device-state": (
        DEVICE_STATE,
        "state.pi-01.web",
        DeploymentState(
            device_id=PI,
            deployment=WEB,
            phase=Phase.FAILED,
            revision="c0ffee",
            services=(ServiceState(name="web", state="exited", image="sha256:1", restarts=2),),
            error=StateError(reason="PortInUse", message="80 is taken", service="web"),
            updated_at=AT,
        ),
        (
            b'{"device_id":"pi-01","deployment":"web","phase":"Failed","revision":"c0ffee",'
            b'"services":[{"name":"web","state":"exited","image":"sha256:1","restarts":2}],'
            b'"error":{"reason":"PortInUse","message":"80 is taken","service":"web"},'
            b'"updated_at":"2026-01-02T03:04:05.678000Z"}'
        ),
    ),
    "device-heartbeat": (
        DEVICE_HEARTBEAT,
        "heartbeat.pi-01",
        HeartbeatPayload(device_id=PI, at=AT, instance="i-1"),
        b'{"device_id":"pi-01","at":"2026-01-02T03:04:05.678000Z","instance":"i-1"}',
    ),
}
MINIMAL = {
    "desired-state": (DESIRED_STATE, "pi-01.web", b'{"type":"Later","data":{},"revision":"1"}'),
    "device-info": (DEVICE_INFO, "info.pi-01", b'{"device_id":"pi-01","labels":{}}'),
    "device-state": (
        DEVICE_STATE,
        "state.pi-01.web",
        b'{"device_id":"pi-01","deployment":"web","phase":"Pending","revision":"1"}',
    ),
    "device-heartbeat": (
        DEVICE_HEARTBEAT,
        "heartbeat.pi-01",
        b'{"device_id":"pi-01","at":"2026-01-02T03:04:05Z"}',
    ),
}


@pytest.mark.parametrize(("codec", "key", "value", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_a_message_is_these_bytes(codec, key, value, golden):
    assert codec.encode(value) == golden


@pytest.mark.parametrize(("codec", "key", "value", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_these_bytes_are_the_message(codec, key, value, golden):
    assert codec.decode(key, golden) == value


@pytest.mark.parametrize(("codec", "key", "data"), MINIMAL.values(), ids=MINIMAL)
def test_what_is_not_required_may_be_missing(codec, key, data):
    assert codec.decode(key, data)


@pytest.mark.parametrize(("codec", "key", "data"), MINIMAL.values(), ids=MINIMAL)
def test_what_is_required_may_not(codec, key, data):
    content = msgspec.json.decode(data)
    for required in content:
        lacking = {field: value for field, value in content.items() if field != required}
        with pytest.raises(errors.UndecodableValue) as refusal:
            codec.decode(key, msgspec.json.encode(lacking))
        assert refusal.value.element == key
        assert required in str(refusal.value)


@pytest.mark.parametrize(("codec", "key", "value", "golden"), GOLDEN.values(), ids=GOLDEN)
def test_a_newer_field_of_the_envelope_is_ignored(codec, key, value, golden):
    assert codec.decode(key, golden[:-1] + b',"from_the_future":{"x":1}}') == value


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"1", b"\xff", b'{"device_id":1}'])
@pytest.mark.parametrize(("codec", "key"), [(c, k) for c, k, *_ in GOLDEN.values()], ids=GOLDEN)
def test_anything_else_is_undecodable(codec, key, data):
    with pytest.raises(errors.UndecodableValue) as refusal:
        codec.decode(key, data)
    assert refusal.value.element == key


@pytest.mark.parametrize(
    ("codec", "key"),
    [
        (DEVICE_INFO, "info.pi-02"),
        (DEVICE_STATE, "state.pi-02.web"),
        (DEVICE_STATE, "state.pi-01.other"),
        (DEVICE_HEARTBEAT, "heartbeat.pi-02"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.bucket,
)
def test_the_key_beats_the_payload(codec, key):
    golden = GOLDEN[codec.bucket][-1]
    with pytest.raises(errors.UndecodableValue, match="the message is about"):
        codec.decode(key, golden)


@pytest.mark.parametrize("key", ["", "pi-01", "a.b.c", "Pi.web", "info.pi-01"])
def test_a_key_that_is_no_state_key_is_refused(key):
    with pytest.raises(errors.UndecodableValue) as refusal:
        DEVICE_STATE.check_key(key)
    assert refusal.value.element == key


@pytest.mark.parametrize("device", ["Pi", "a.b", "", "*"])
def test_a_name_in_a_payload_is_checked(device):
    data = msgspec.json.encode({"device_id": device, "labels": {}})
    with pytest.raises(errors.UndecodableValue):
        DEVICE_INFO.decode("info.pi-01", data)


def test_a_time_of_another_zone_is_the_same_instant():
    data = b'{"device_id":"pi-01","at":"2026-01-02T05:04:05.678+02:00"}'
    assert DEVICE_HEARTBEAT.decode("heartbeat.pi-01", data).at == AT
