"""JetStream's words: what is asked for, and how answers are read."""

import contextlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from fleet import errors
from fleet.bus import jetstream
from fleet.bus.jetstream import Beat, Delivered, Ended, FlowControl, Stored

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
STAMP = 1767323045678901999
SHORT = f"$JS.ACK.KV_desired-state.agent-1.1.17.3.{STAMP}.5"
LONG = f"$JS.ACK.hub.ACCOUNT.KV_desired-state.agent-1.1.17.3.{STAMP}.5.random"


@dataclass
class Message:
    """What the library would hand over."""

    subject: str = "$KV.desired-state.pi-01.web"
    reply: str = SHORT
    data: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def block(self) -> bytes:
        return "\r\n".join(f"{name}: {value}" for name, value in self.headers.items()).encode()


def test_requests_name_their_keys_in_the_subject():
    assert jetstream.get_subject("b", "pi-01.web") == "$JS.API.DIRECT.GET.KV_b.$KV.b.pi-01.web"
    assert (
        jetstream.consumer_subject("b", "agent-1", "pi-01.>")
        == "$JS.API.CONSUMER.CREATE.KV_b.agent-1.$KV.b.pi-01.>"
    )


def test_a_consumer_replays_the_last_of_each_key_and_asks_for_no_acknowledgement():
    heartbeat = timedelta(seconds=30)
    body = jetstream.consumer("b", "agent-1", "pi-01.>", deliver_to="inbox", heartbeat=heartbeat)
    assert json.loads(body) == {
        "stream_name": "KV_b",
        "action": "",
        "config": {
            "name": "agent-1",
            "deliver_policy": "last_per_subject",
            "ack_policy": "none",
            "replay_policy": "instant",
            "filter_subject": "$KV.b.pi-01.>",
            "deliver_subject": "inbox",
            "idle_heartbeat": 30_000_000_000,
            "inactive_threshold": 60_000_000_000,
            "mem_storage": True,
            "num_replicas": 1,
        },
    }


def test_a_consumer_is_named_after_its_client_in_one_token():
    assert jetstream.consumer_name("agent pi.01>*", "1a") == "agent-pi-01---1a"


def test_only_a_replay_of_everything_is_flow_controlled():
    """It takes a permission that agents don't have."""
    body = jetstream.consumer("b", "x", ">", deliver_to="i", heartbeat=timedelta(seconds=1))
    assert json.loads(body)["config"]["flow_control"] is True


@pytest.mark.parametrize("reply", [SHORT, LONG], ids=["short", "long"])
def test_a_delivery_carries_its_place_its_revision_and_the_servers_time(reply):
    arrival = jetstream.read_arrival("desired-state", Message(reply=reply))
    assert arrival == Delivered(Stored("pi-01.web", b"{}", 17, AT), place=3, pending=5)


@pytest.mark.parametrize(
    "headers",
    [{"KV-Operation": "DEL"}, {"KV-Operation": "PURGE"}, {"Nats-Marker-Reason": "MaxAge"}],
    ids=str,
)
def test_a_marker_has_no_content(headers):
    arrival = jetstream.read_arrival("desired-state", Message(data=b"", headers=headers))
    assert isinstance(arrival, Delivered)
    assert arrival.stored.data is None


def test_an_empty_value_is_no_marker():
    arrival = jetstream.read_arrival("desired-state", Message(data=b""))
    assert isinstance(arrival, Delivered)
    assert arrival.stored.data == b""


@pytest.mark.parametrize(
    ("headers", "reply", "arrival"),
    [
        ({"Status": "100", "Nats-Last-Consumer": "7"}, "", Beat(7, "")),
        (
            {"Status": "100", "Nats-Last-Consumer": "7", "Nats-Consumer-Stalled": "s"},
            "",
            Beat(7, "s"),
        ),
        ({"Status": "100", "Description": "FlowControl Request"}, "fc", FlowControl("fc")),
        ({"Status": "409", "Description": "Consumer Deleted"}, "", Ended("409 Consumer Deleted")),
    ],
    ids=["beat", "stalled", "flow", "ended"],
)
def test_the_servers_own_signals_are_told_apart(headers, reply, arrival):
    message = Message(subject="inbox", reply=reply, data=b"", headers=headers)
    assert jetstream.read_arrival("desired-state", message) == arrival


@pytest.mark.parametrize("status", ["100", "404", "409", "503"])
def test_a_stored_message_is_one_though_its_writer_gave_it_a_status(status: str):
    delivery = Message(headers={"Status": status})
    assert isinstance(jetstream.read_arrival("desired-state", delivery), Delivered)
    answer = Message(headers={"Status": status, "Nats-Sequence": "17"})
    assert not jetstream.is_missing(answer)
    assert not jetstream.is_empty(answer)


def test_a_direct_answer_is_read_from_its_headers():
    headers = {
        "Nats-Subject": "$KV.desired-state.pi-01.web",
        "Nats-Sequence": "17",
        "Nats-Time-Stamp": "2026-01-02T03:04:05.678901999Z",
    }
    stored = jetstream.read_stored("desired-state", Message(headers=headers))
    assert stored == Stored("pi-01.web", b"{}", 17, AT)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (10071, errors.RevisionConflict),
        (10164, errors.RevisionConflict),
        (10054, errors.ValueTooLarge),
        (10059, jetstream.BucketMissing),
        (10077, errors.BusUnavailable),
        (10023, errors.BusUnavailable),
    ],
)
def test_a_refusal_is_told_by_its_code(code, error):
    body = {"error": {"code": 400, "err_code": code, "description": "because"}}
    with pytest.raises(error, match="because"):
        jetstream.read_reply(json.dumps(body).encode())


def test_a_full_bucket_is_told_apart():
    body = {"error": {"err_code": 10077, "description": "maximum bytes exceeded"}}
    with pytest.raises(errors.BucketFull, match="full"):
        jetstream.read_reply(json.dumps(body).encode())


@pytest.mark.parametrize("data", [b"", b"-ERR", b"\xff"])
def test_an_answer_that_is_none_is_unavailable(data):
    with pytest.raises(errors.BusUnavailable):
        jetstream.read_reply(data)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-02T03:04:05.678901999Z", AT),
        ("2026-01-02T05:04:05.678901+02:00", AT),
        ("2026-01-02T03:04:05Z", AT.replace(microsecond=0)),
        ("2026-01-02T03:04:05.6789Z", AT.replace(microsecond=678900)),
    ],
)
def test_the_servers_time_has_many_spellings(text, time):
    assert jetstream.read_time(text) == time


@pytest.mark.parametrize(
    ("ttl", "text"),
    [(timedelta(hours=1), "3600s"), (timedelta(milliseconds=10), "1s"), (timedelta(0), "1s")],
)
def test_a_time_to_live_is_whole_seconds(ttl, text):
    assert jetstream.ttl(ttl) == text


@pytest.mark.parametrize(
    "data", [b"5", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"error": 5}', b'{"error": "no"}']
)
def test_an_answer_of_another_form_is_unavailable(data):
    with pytest.raises(errors.BusUnavailable):
        jetstream.read_reply(data)


@pytest.mark.parametrize("reply", ["", "$JS.ACK", "$JS.ACK.a.b.c.d.e.f.g.h", f"{SHORT}.x.y.z"])
def test_a_delivery_of_another_form_is_unavailable(reply):
    with pytest.raises(errors.BusUnavailable):
        jetstream.read_arrival("desired-state", Message(reply=reply))


@pytest.mark.parametrize(
    "headers", [None, {}, {"Nats-Subject": "x"}, {"Nats-Subject": "x", "Nats-Sequence": "y"}]
)
def test_a_direct_answer_of_another_form_is_unavailable(headers):
    with pytest.raises(errors.BusUnavailable):
        jetstream.read_stored("desired-state", Message(headers=headers))


@pytest.mark.parametrize("text", ["", "now", 5, None, "2026-01-02"])
def test_a_time_of_another_form_is_unavailable_or_one(text):
    with contextlib.suppress(errors.BusUnavailable):
        assert jetstream.read_time(text).tzinfo is UTC


@pytest.mark.parametrize("read", [jetstream.revision, jetstream.stream_config])
def test_an_answer_without_what_was_asked_for_is_unavailable(read):
    with pytest.raises(errors.BusUnavailable):
        read({})
