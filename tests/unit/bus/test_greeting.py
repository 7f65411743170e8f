"""What a server says first, and what of it nats-py gets to see."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.bus import greeting
from tests.nats_stand_in import info


def test_nats_py_is_told_nothing_of_encryption_and_of_other_servers():
    found = greeting.read(info(tls_required=True, nonce="n", connect_urls=["10.0.0.9:4222"]))
    assert found.offers_tls
    told = json.loads(greeting.line(found).removeprefix(b"INFO "))
    assert told == {
        "max_payload": 1048576,
        "headers": True,
        "auth_required": False,
        "version": "2.11.0",
        "nonce": "n",
    }


@given(st.binary(max_size=200))
def test_whatever_a_server_says_is_a_greeting_or_unavailable(said: bytes):
    for line in (said, b"INFO " + said, b"INFO {" + said + b"}"):
        with contextlib.suppress(errors.BusUnavailable):
            greeting.read(line)


@pytest.mark.parametrize("headers", [False, None, 1])
def test_a_server_without_headers_is_too_old(headers: object):
    with pytest.raises(errors.BusUnavailable):
        greeting.read(info(headers=headers))
