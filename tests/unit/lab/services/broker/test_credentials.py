"""Passwords and their hashes."""

import json

import bcrypt
import pytest

from fleet.contracts.permissions import Permissions
from lab.services.broker import credentials
from lab.services.broker.credentials import BrokerUser


@pytest.fixture
def user(tmp_path):
    return BrokerUser("dev-01", tmp_path / "below" / "dev-01.json", Permissions(("p",), ("s",)))


def test_credentials_are_made_once_and_closed(user):
    assert credentials.missing(user) == "dev-01 has no credentials"
    credentials.ensure(user)
    assert credentials.missing(user) == ""
    assert user.credentials.stat().st_mode & 0o777 == 0o600
    first = user.credentials.read_text()
    credentials.ensure(user)
    assert user.credentials.read_text() == first
    assert json.loads(first).keys() == {"user", "password"}


def test_credentials_that_others_can_read_are_a_difference_and_closed_again(user):
    credentials.ensure(user)
    user.credentials.chmod(0o644)
    assert credentials.missing(user) == "the credentials of dev-01 have mode 644"
    credentials.ensure(user)
    assert credentials.missing(user) == ""


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '"text"', '{"user": "dev-01"}', '{"user": "dev-02", "password": "p"}'],
)
def test_what_are_no_credentials_of_this_user_counts_as_none(user, content):
    user.credentials.parent.mkdir()
    user.credentials.write_text(content)
    assert credentials.missing(user) == "dev-01 has no credentials"


def test_a_hash_is_the_same_each_time_and_verifies():
    hashed = credentials.hashed("a-long-random-password")
    assert hashed == credentials.hashed("a-long-random-password")
    assert bcrypt.checkpw(b"a-long-random-password", hashed.encode())
    assert not bcrypt.checkpw(b"another-password", hashed.encode())


def test_two_passwords_have_two_salts():
    salts = {credentials.hashed(f"password-{number}")[:29] for number in range(20)}
    assert len(salts) == 20


def test_the_server_learns_the_rights_and_never_the_password(user):
    credentials.ensure(user)
    known = credentials.server_user(user)
    assert (known.name, known.publish, known.subscribe) == ("dev-01", ("p",), ("s",))
    assert credentials.password(user) not in known.password_hash


def test_a_user_without_limits_has_none(tmp_path):
    user = BrokerUser("admin", tmp_path / "admin.json")
    credentials.ensure(user)
    known = credentials.server_user(user)
    assert (known.publish, known.subscribe) == (None, None)
