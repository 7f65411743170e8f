"""What is swept of the keys under a device's id, and that nobody else's goes with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.bus.memory import matches
from fleet.contracts import kv
from fleet.operator.decisions import junk_keys
from fleet.operator.decisions.junk_keys import JunkKey
from tests.unit.contracts.strategies import device_ids

DEVICE_BUCKETS = (kv.BUCKET_DEVICE_INFO, kv.BUCKET_DEVICE_STATE, kv.BUCKET_DEVICE_HEARTBEAT)
PREFIXES = ("info", "state", "heartbeat", "pi-01", "*", ">", "")


@pytest.mark.parametrize(
    ("bucket", "key", "purged"),
    [
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.x.y", "state.pi-01.x.y"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.Web", "state.pi-01.Web"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01", "state.pi-01"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.*", "state.pi-01.>"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.>", "state.pi-01.>"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.a\ufffd", "state.pi-01.>"),
        (kv.BUCKET_DEVICE_STATE, "state.pi-01.a\x00", "state.pi-01.>"),
        (kv.BUCKET_DEVICE_INFO, "info.pi-01.x", "info.pi-01.x"),
        (kv.BUCKET_DEVICE_HEARTBEAT, "heartbeat.pi-01.*", "heartbeat.pi-01.>"),
        (kv.BUCKET_DEVICE_STATE, "info.pi-01.x", None),
        (kv.BUCKET_DEVICE_STATE, "state.*.x", None),
        (kv.BUCKET_DEVICE_STATE, "state.>", None),
        (kv.BUCKET_DEVICE_STATE, "garbage", None),
        (kv.BUCKET_DEVICE_STATE, ">", None),
        (kv.BUCKET_DESIRED_STATE, "pi-01.x.y", None),
    ],
)
def test_what_is_purged_for_a_junk_key(bucket: str, key: str, purged: str | None):
    assert junk_keys.purge_filter(JunkKey(bucket, key, 1)) == purged


tokens = st.one_of(device_ids.map(str), st.sampled_from(["*", ">", "X", "", "é"]))


@given(
    bucket=st.sampled_from(DEVICE_BUCKETS),
    prefix=st.sampled_from(PREFIXES),
    rest=st.lists(tokens, max_size=3),
    other=device_ids,
)
def test_no_key_of_another_device_is_ever_purged(
    bucket: str, prefix: str, rest: list[str], other: str
):
    junk = JunkKey(bucket, ".".join([prefix, *rest]), 1)
    purged = junk_keys.purge_filter(junk)
    if purged is None or rest[:1] == [other]:
        return
    for known in ("info", "state", "heartbeat"):
        assert not matches(purged, f"{known}.{other}")
        assert not matches(purged, f"{known}.{other}.web")
