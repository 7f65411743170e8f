"""How much a message may be, and that what is let in can be shown."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts import bounds, kv
from fleet.contracts.messages import DEVICE_HEARTBEAT, DEVICE_INFO, DEVICE_STATE, Codec, Problem
from tests.unit.contracts.strategies import any_text
from tests.unit.contracts.test_bad_messages import CODECS, GOOD, KEYS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMED = ((DEVICE_INFO, "updated_at"), (DEVICE_STATE, "updated_at"), (DEVICE_HEARTBEAT, "at"))
WRONG_TIMES = {
    "before the first day": "0001-01-01T00:00:00+14:00",
    "after the last": "9999-12-31T23:59:59-14:00",
    "Go's zero": "0001-01-01T00:00:00Z",
    "C's zero": "1900-01-00T00:00:00Z",
    "year 0": "0000-01-01T00:00:00Z",
    "1970": "1970-01-01T00:00:00Z",
    "2099": "2099-01-01T00:00:00Z",
    "five digits": "10000-01-01T00:00:00Z",
    "a leap second": "2016-12-31T23:59:60Z",
    "no offset": "2026-01-02T03:04:05",
    "no time": "noon",
    "a number": 1767323045,
    "a map": {"seconds": 1},
}


def message(codec: Codec[Any], **fields: Any) -> bytes:
    return json.dumps(GOOD[codec.bucket] | fields).encode()


def decode(codec: Codec[Any], data: bytes) -> Any:
    return codec.decode(KEYS[codec.bucket], data)


@pytest.mark.parametrize("told", WRONG_TIMES.values(), ids=WRONG_TIMES)
@pytest.mark.parametrize(
    ("codec", "field"), TIMED, ids=lambda value: getattr(value, "bucket", value)
)
def test_a_time_that_cannot_be_right_is_replaced_by_the_servers(
    codec: Codec[Any], field: str, told: Any
):
    decoded = decode(codec, message(codec, **{field: told}))

    timed = codec.timed(decoded, NOW)

    assert getattr(timed, field) == NOW
    assert msgspec.structs.replace(decoded, **{field: NOW}) == timed


@pytest.mark.parametrize(
    ("codec", "field"), TIMED, ids=lambda value: getattr(value, "bucket", value)
)
@pytest.mark.parametrize("minutes", [-10, 0, 10])
def test_a_time_near_the_servers_stays_as_it_was_told(codec: Codec[Any], field: str, minutes: int):
    told = (NOW + timedelta(minutes=minutes)).astimezone(timezone(timedelta(hours=14)))
    decoded = decode(codec, message(codec, **{field: told.isoformat()}))

    assert codec.timed(decoded, NOW) is decoded
    assert getattr(decoded, field) == told


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
def test_a_message_without_a_time_stays_as_it_is(codec: Codec[Any]):
    without = {key: v for key, v in GOOD[codec.bucket].items() if key != "at"}
    if codec is not DEVICE_HEARTBEAT:  # which is nothing but its time
        decoded = decode(codec, json.dumps(without).encode())
        assert codec.timed(decoded, NOW) is decoded


@given(told=st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=-23)))))
def test_any_time_can_be_compared_with_the_servers(told: datetime):
    assert bounds.is_near(told, NOW) in {True, False}


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@pytest.mark.parametrize("opened", [b"[", b'{"x":', b'[{"x":['])
def test_deep_nesting_in_an_unknown_field_is_undecodable(codec: Codec[Any], opened: bytes):
    data = message(codec)[:-1] + b',"from_the_future":' + opened * 500
    with pytest.raises(errors.UndecodableValue, match="nested deeper than"):
        decode(codec, data)


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
def test_nesting_within_bounds_is_ignored_like_any_unknown_field(codec: Codec[Any]):
    deep = b"[" * (bounds.MAX_DEPTH - 1) + b"]" * (bounds.MAX_DEPTH - 1)
    assert decode(codec, message(codec)[:-1] + b',"x":' + deep + b"}") == decode(
        codec, message(codec)
    )


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
def test_more_bytes_than_a_bucket_takes_are_undecodable(codec: Codec[Any]):
    most = bounds.MAX_MESSAGE_BYTES[codec.bucket]
    padding = b" " * (most - len(message(codec)))
    assert decode(codec, message(codec) + padding)
    with pytest.raises(errors.UndecodableValue, match=f"{most} are allowed"):
        decode(codec, message(codec) + padding + b" ")


json_text = st.recursive(
    st.just(0) | st.text(alphabet='[]{}"\\/x\n', max_size=8),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text("[{\"'\\", max_size=3), inner, max_size=3),
    ),
    max_leaves=40,
)


@given(value=json_text, most=st.integers(0, 8))
def test_the_depth_of_json_is_told_from_its_bytes(value: Any, most: int):
    assert bounds.is_deeper(json.dumps(value).encode(), most) is (depth(value) > most)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "piece", [b"[]", b"[", b"]", b'"', b'\\"', b'"\\', b"\\", b'"a', b'[{"x":"[\\""},'], ids=str
)
def test_whatever_the_bytes_their_depth_is_told_at_once(piece: bytes):
    data = piece * (256 * 1024 // len(piece))
    bounds.is_deeper(b"[" * 20 + data, bounds.MAX_DEPTH)


def depth(value: Any) -> int:
    match value:
        case list():
            return 1 + max(map(depth, value), default=0)
        case dict():
            return 1 + max(map(depth, value.values()), default=0)
        case _:
            return 0


@given(text=any_text, most=st.integers(1, 40))
@example(text="\x1b[31mred\u202e\x00\ud800\r\nline", most=40)
def test_what_is_shown_is_one_printable_line_of_a_length(text: str, most: int):
    shown = bounds.shown(text, most)
    assert len(shown) <= most
    assert shown.isprintable()
    assert shown == bounds.shown(shown, most)
    assert shown == text or len(text) > most or not text.isprintable()


def test_a_text_that_is_cut_says_so():
    assert bounds.shown("twelve chars", 7) == "twelve…"


@pytest.mark.parametrize(
    ("codec", "fields"),
    [
        (DEVICE_INFO, {"inventory": {"cpus": 2**63}}),
        (DEVICE_INFO, {"inventory": {"memory_bytes": -(2**63) - 1}}),
        (DEVICE_STATE, {"services": [{"name": "web", "restarts": 10**30}]}),
        (DEVICE_STATE, {"services": [{"name": "web"}] * (bounds.MAX_ITEMS + 1)}),
        (DEVICE_STATE, {"revision": "x" * (bounds.MAX_WORD + 1)}),
        (DEVICE_INFO, {"labels": {f"l{n}": "x" for n in range(bounds.MAX_ITEMS + 1)}}),
        (DEVICE_INFO, {"problems": [{"reason": "X"}] * (bounds.MAX_ITEMS + 1)}),
        (DEVICE_HEARTBEAT, {"instance": "x" * (bounds.MAX_WORD + 1)}),
    ],
    ids=lambda value: getattr(value, "bucket", None) or next(iter(value)),
)
def test_what_nobody_could_hold_or_show_is_undecodable(codec: Codec[Any], fields: dict[str, Any]):
    with pytest.raises(errors.UndecodableValue):
        decode(codec, message(codec, **fields))


def test_a_text_that_people_read_is_cut_rather_than_refused():
    long, control = "x" * 5000, "two\nlines\x1b[2J"
    error = {"reason": long, "message": long, "service": control}
    state = decode(DEVICE_STATE, message(DEVICE_STATE, error=error))
    assert len(state.error.message) == bounds.MAX_TEXT
    assert len(state.error.reason) == bounds.MAX_WORD
    assert state.error.service == "two lines\N{REPLACEMENT CHARACTER}[2J"
    inventory = {"hostname": long, "runtimes": {control: long}}
    info = decode(DEVICE_INFO, message(DEVICE_INFO, inventory=inventory))
    assert len(info.inventory.hostname) == bounds.MAX_WORD
    assert {len(version) for version in info.inventory.runtimes.values()} == {bounds.MAX_WORD}
    assert all(name.isprintable() for name in info.inventory.runtimes)


def test_a_text_is_cut_where_a_message_is_made_too():
    """So a device never sends more than the hub reads."""
    assert Problem(reason="X", message="\n" * 5000) == Problem(
        reason="X", message=" " * (bounds.MAX_TEXT - 1) + "…"
    )


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
@given(key=any_text, data=st.binary(max_size=40))
def test_why_something_is_undecodable_can_be_shown(codec: Codec[Any], key: str, data: bytes):
    for at in (key, KEYS[codec.bucket]):
        with pytest.raises(errors.UndecodableValue) as refusal:
            codec.decode(at, b"\xff" + data)
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) <= bounds.MAX_TEXT


@pytest.mark.parametrize("codec", CODECS[1:], ids=lambda codec: codec.bucket)
@pytest.mark.parametrize("name", ["x" * 3000, "\x1b[2J\n"], ids=["long", "commands"])
def test_why_a_name_is_none_can_be_shown(codec: Codec[Any], name: str):
    with pytest.raises(errors.UndecodableValue) as refusal:
        decode(codec, message(codec, device_id=name))
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) <= bounds.MAX_TEXT


def test_the_largest_state_of_the_most_services_fits_into_its_bucket():
    services = [
        {"name": f"{n:063}", "state": "running", "image": "i" * 512, "restarts": 2**63 - 1}
        for n in range(32)
    ]
    error = {"reason": "R" * 64, "message": "\N{BUG}" * bounds.MAX_TEXT, "service": "s" * 63}
    state = decode(DEVICE_STATE, message(DEVICE_STATE, services=services, error=error))
    assert len(DEVICE_STATE.encode(state)) < bounds.max_value_bytes(kv.BUCKET_DEVICE_STATE) / 2


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.bucket)
def test_the_largest_value_and_its_headers_are_the_largest_message(codec: Codec[Any]):
    whole = bounds.max_value_bytes(codec.bucket) + bounds.HEADER_BYTES
    assert whole == bounds.MAX_MESSAGE_BYTES[codec.bucket]
