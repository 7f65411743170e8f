"""The configuration file of nats-server, byte for byte."""

from fleet.contracts import kv
from fleet.scores.nats_server import (
    MEBIBYTE,
    NatsServer,
    NatsUser,
    bucket_bytes_for,
    file_store_for,
    pending_for,
    render,
)

ADMIN = NatsUser("admin", "$2b$04$admin")
DEVICE = NatsUser("dev-01", "$2b$04$device", publish=("$KV.a.>",), subscribe=("_INBOX_dev-01.>",))

GOLDEN = """\
# Made by Fleet; changes by hand are undone.
server_name: "lab"
listen: "10.213.0.1:4222"
http: "127.0.0.1:8222"
max_payload: 1048576
max_connections: 65536
max_pending: 67108864
jetstream {
  store_dir: "/state/broker/store"
  max_file_store: 4294967296
  max_memory_store: 67108864
}
authorization {
  users: [
    {"user": "admin", "password": "$2b$04$admin"}
    {"user": "dev-01", "password": "$2b$04$device", "permissions": \
{"publish": {"allow": ["$KV.a.>"]}, "subscribe": {"allow": ["_INBOX_dev-01.>"]}}}
  ]
}
"""


def _server(*users: NatsUser) -> NatsServer:
    return NatsServer(
        name="lab", store="/state/broker/store", users=users, address="10.213.0.1", port=4222
    )


def test_the_file_has_these_bytes():
    assert render(_server(ADMIN, DEVICE)) == GOLDEN


def test_the_order_of_users_changes_nothing():
    assert render(_server(DEVICE, ADMIN)) == render(_server(ADMIN, DEVICE))


def test_no_subject_at_all_is_a_denial_and_not_a_missing_rule():
    mute = NatsUser("mute", "hash", publish=(), subscribe=None)
    assert '"permissions": {"publish": {"deny": ">"}}' in render(_server(mute))


def test_a_large_fleet_may_have_more_on_its_way_and_a_small_one_what_is_usual():
    assert pending_for(0) == pending_for(1_000) == 64 * MEBIBYTE
    assert pending_for(10_000) > 128 * MEBIBYTE


def test_the_buckets_of_a_large_fleet_may_hold_more_and_still_fit_into_the_store():
    assert bucket_bytes_for(0) == bucket_bytes_for(1_000) == 256 * MEBIBYTE
    assert bucket_bytes_for(10_000) > 512 * MEBIBYTE
    for devices in (0, 1_000, 100_000):
        assert file_store_for(devices) > len(kv.BUCKETS) * bucket_bytes_for(devices)
