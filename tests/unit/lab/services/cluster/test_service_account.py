"""When a token expires."""

import base64
import json

import pytest

from lab.services.cluster import service_account


def _token(payload):
    encoded = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"header.{encoded}.signature"


def test_a_token_says_when_it_expires():
    assert service_account.expiry(_token({"exp": 1795391573})) == 1795391573


@pytest.mark.parametrize(
    "token",
    ["", "no-dots", "a.b.c", "a.!!.c", _token({}), _token({"exp": None}), _token([])],
)
def test_what_says_nothing_has_expired(token):
    assert service_account.expiry(token) == 0
