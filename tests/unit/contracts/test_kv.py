"""Keys: every builder has a parser, and no two things share a key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts import kv
from fleet.contracts.names import DeploymentName, DeviceId
from tests.unit.contracts.strategies import any_text, deployment_names, device_ids

PI, HELLO = DeviceId("pi-01"), DeploymentName("hello-web")
PARSERS = {
    kv.BUCKET_DESIRED_STATE: kv.parse_desired_state_key,
    kv.BUCKET_DEVICE_INFO: kv.parse_device_info_key,
    kv.BUCKET_DEVICE_STATE: kv.parse_device_state_key,
    kv.BUCKET_DEVICE_HEARTBEAT: kv.parse_device_heartbeat_key,
}


@given(device_ids, deployment_names)
def test_a_parsed_key_is_what_it_was_built_from(device, deployment):
    built = kv.desired_state_key(device, deployment)
    assert kv.parse_desired_state_key(built) == (device, deployment)
    assert kv.parse_device_state_key(kv.device_state_key(device, deployment)) == (
        device,
        deployment,
    )
    assert kv.parse_device_info_key(kv.device_info_key(device)) == device
    assert kv.parse_device_heartbeat_key(kv.device_heartbeat_key(device)) == device


@given(*[st.tuples(device_ids, deployment_names)] * 2)
def test_distinct_pairs_never_share_a_key(one, other):
    for build in (kv.desired_state_key, kv.device_state_key):
        assert (build(*one) == build(*other)) == (one == other)


@given(device_ids, device_ids)
def test_distinct_devices_never_share_a_key(one, other):
    for build in (kv.device_info_key, kv.device_heartbeat_key):
        assert (build(one) == build(other)) == (one == other)


@pytest.mark.parametrize("parse", PARSERS.values(), ids=PARSERS.keys())
@given(key=st.one_of(any_text, st.lists(st.sampled_from(["a", "info", "A", ""])).map(".".join)))
def test_a_parser_takes_only_what_a_builder_makes(parse, key):
    try:
        parsed = parse(key)
    except errors.InvalidKey:
        return
    assert _rebuilt(parse, parsed) == key


def test_a_refused_key_is_named():
    with pytest.raises(errors.InvalidKey) as refusal:
        kv.parse_desired_state_key("a.b.c")
    assert refusal.value.element == "a.b.c"


@pytest.mark.parametrize("text", ["a.b", "*", ">", "A", ""])
def test_nothing_unvalidated_reaches_a_key(text):
    with pytest.raises(errors.InvalidName):
        kv.desired_state_key(text, HELLO)
    with pytest.raises(errors.InvalidName):
        kv.device_state_key(PI, text)
    with pytest.raises(errors.InvalidName):
        kv.desired_state_filter(text)


def _rebuilt(parse, parsed) -> str:
    if parse is kv.parse_desired_state_key:
        return kv.desired_state_key(*parsed)
    if parse is kv.parse_device_state_key:
        return kv.device_state_key(*parsed)
    if parse is kv.parse_device_info_key:
        return kv.device_info_key(parsed)
    return kv.device_heartbeat_key(parsed)
