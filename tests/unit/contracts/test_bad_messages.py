"""Whatever stands at a key: it decodes to a message about that key, or it is `UndecodableValue`."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts import kv
from fleet.contracts.messages import (
    DESIRED_STATE,
    DEVICE_HEARTBEAT,
    DEVICE_INFO,
    DEVICE_STATE,
    Codec,
    Message,
)
from fleet.contracts.names import DeploymentName, DeviceId
from tests.unit.contracts.strategies import any_text, json_values

PI, WEB = DeviceId("pi-01"), DeploymentName("web")
KEYS = {
    DESIRED_STATE.bucket: kv.desired_state_key(PI, WEB),
    DEVICE_INFO.bucket: kv.device_info_key(PI),
    DEVICE_STATE.bucket: kv.device_state_key(PI, WEB),
    DEVICE_HEARTBEAT.bucket: kv.device_heartbeat_key(PI),
}
# Well-formed messages, of which one field is then something else.
GOOD: dict[str, dict[str, Any]] = {
    DESIRED_STATE.bucket: {
        "type": "PodmanV0",
        "data": {"services": [{"name": "web", "image": "web:1"}]},
        "revision": "1",
        "owner": {"namespace": "n", "name": "web", "uid": "u", "generation": 1},
    },
    DEVICE_INFO.bucket: {"device_id": "pi-01", "labels": {"a": "b"}, "inventory": {"cpus": 1}},
    DEVICE_STATE.bucket: {
        "device_id": "pi-01",
        "deployment": "web",
        "phase": "Running",
        "revision": "1",
        "services": [{"name": "web", "state": "running"}],
    },
    DEVICE_HEARTBEAT.bucket: {"device_id": "pi-01", "at": "2026-01-02T03:04:05Z"},
}
CODECS: tuple[Codec[Any], ...] = (DESIRED_STATE, DEVICE_INFO, DEVICE_STATE, DEVICE_HEARTBEAT)


def check(codec: Codec[Any], key: str, data: bytes) -> None:
    """Decode: either it fails as it may, or its encoding decodes to the same."""
    try:
        value: Message = codec.decode(key, data)
    except errors.UndecodableValue:
        return
    assert codec.decode(key, codec.encode(value)) == value


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@given(data=st.binary(max_size=200))
def test_random_bytes_are_contained(codec: Codec[Any], data: bytes):
    check(codec, KEYS[codec.bucket], data)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@given(data=json_values)
def test_random_json_is_contained(codec: Codec[Any], data: Any):
    check(codec, KEYS[codec.bucket], json.dumps(data).encode())


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@given(data=st.data())
def test_a_field_of_a_wrong_type_is_contained(codec: Codec[Any], data: st.DataObject):
    good = GOOD[codec.bucket]
    assert codec.decode(KEYS[codec.bucket], msgspec.json.encode(good))
    field = data.draw(st.sampled_from(sorted(good)))
    bad = {**good, field: data.draw(json_values)}
    check(codec, KEYS[codec.bucket], json.dumps(bad).encode())


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@given(key=any_text)
def test_a_good_message_at_any_other_key_is_contained(codec: Codec[Any], key: str):
    check(codec, key, msgspec.json.encode(GOOD[codec.bucket]))


@pytest.mark.parametrize("codec", CODECS[1:], ids=lambda codec: codec.bucket)
def test_a_message_about_another_device_than_its_key_is_undecodable(codec: Codec[Any]):
    bad = {**GOOD[codec.bucket], "device_id": "pi-02"}
    with pytest.raises(errors.UndecodableValue, match="pi-0"):
        codec.decode(KEYS[codec.bucket], msgspec.json.encode(bad))
