"""Files that say who we are: read with limits, and checked, whatever they turn out to be."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.bus import credentials
from fleet.bus.credentials import Password, SignedUser
from tests import certificates

SEED = "SUAGC3DP6OAIAIJDPAJTDHN5QAVW2RNYP7LDRHKGCYQIQZJXEXTWIMBB5I"
JWT = "eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJVIn0.c2lnbmF0dXJl"
CREDS = f"""-----BEGIN NATS USER JWT-----
{JWT}
------END NATS USER JWT------

************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.

-----BEGIN USER NKEY SEED-----
{SEED}
------END USER NKEY SEED------
"""


def read(tmp_path: Path, content: str | bytes, name: str = "user.creds") -> credentials.Login:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return credentials.read_login(path)


def test_a_user_with_a_password_is_read(tmp_path: Path):
    content = json.dumps({"user": "pi-01", "password": "hush"})
    assert read(tmp_path, content, "user.json") == Password("pi-01", "hush")


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_signed_user_is_read(tmp_path: Path, ending: str):
    assert read(tmp_path, CREDS.replace("\n", ending)) == SignedUser(JWT, SEED)


def test_a_signed_user_signs_what_the_server_asks_for():
    signed = SignedUser(JWT, SEED)
    assert len(signed.sign("nonce")) == 88
    assert signed.sign("nonce") == signed.sign("nonce") != signed.sign("another")


def test_nobody_prints_a_secret_by_accident():
    assert SEED not in repr(SignedUser(JWT, SEED))
    assert "hush" not in repr(Password("me", "hush"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "is empty", id="empty"),
        pytest.param("  \n", "is empty", id="blank"),
        pytest.param(CREDS[CREDS.index("*") :], "no user JWT", id="a seed and no JWT"),
        pytest.param(CREDS[: CREDS.index("*")], "no seed", id="a JWT and no seed"),
        pytest.param(CREDS.replace(JWT, JWT[:20]), "a part of one", id="a cut JWT"),
        pytest.param(CREDS.replace(SEED, SEED[:20]), "a part of one", id="a cut seed"),
        pytest.param("-----BEGIN NATS USER JWT-----", "no user JWT", id="a heading alone"),
        pytest.param(CREDS + "\n" * 1000, "1000 lines", id="too many lines"),
        pytest.param(CREDS + "x" * 70_000, "65536 bytes", id="too many bytes"),
        pytest.param(b"\xff\xfe" + CREDS.encode(), "not UTF-8", id="not text"),
    ],
)
def test_what_is_no_signed_user_is_refused_and_not_repeated(
    tmp_path: Path, content: str | bytes, says: str
):
    with pytest.raises(errors.InvalidConfig, match=says) as refused:
        read(tmp_path, content)
    assert refused.value.element == str(tmp_path / "user.creds")
    assert SEED[:20] not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    ["[]", "5", '{"user": "x"}', '{"user": 1, "password": "hush"}', "[" * 60_000, '{"user": "hush'],
)
def test_what_is_no_user_with_a_password_is_refused_and_not_repeated(tmp_path: Path, content: str):
    with pytest.raises(errors.InvalidConfig, match=r"user\.json") as refused:
        read(tmp_path, content, "user.json")
    assert "hush" not in str(refused.value)


@given(st.integers(0, len(CREDS) - len("------END USER NKEY SEED------") - 3))
def test_a_file_that_is_cut_off_anywhere_is_none(cut: int):
    lines = CREDS[:cut]
    with pytest.raises(errors.InvalidConfig):
        credentials.parse_signed_user(Path("user.creds"), lines)


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path):
    path = tmp_path / "user.creds"
    os.mkfifo(path)
    with pytest.raises(errors.InvalidConfig, match="is no file"):
        credentials.read_login(path)


def test_a_directory_is_no_file(tmp_path: Path):
    with pytest.raises(errors.InvalidConfig, match=str(tmp_path)):
        credentials.read_login(tmp_path)


def test_a_file_without_an_end_is_read_to_its_limit(tmp_path: Path):
    with pytest.raises(errors.InvalidConfig, match="is no file"):
        credentials.read_login(Path("/dev/zero"))


def test_an_authority_is_trusted(tmp_path: Path):
    context = credentials.read_authority(certificates.make(tmp_path).authority)
    assert len(context.get_ca_certs()) == 1
    assert context.check_hostname


@pytest.mark.parametrize(
    "content",
    [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ],
)
def test_what_holds_no_certificate_is_no_authority(tmp_path: Path, content: str):
    path = tmp_path / "ca.pem"
    path.write_text(content)
    with pytest.raises(errors.InvalidConfig, match=r"ca\.pem"):
        credentials.read_authority(path)
