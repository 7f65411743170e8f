"""How the hub's servers are written, and what of a wrong address is repeated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.contracts.hub import Server, parse_servers


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("nats://hub", Server("hub", 4222)),
        ("nats://10.0.0.1:4223", Server("10.0.0.1", 4223)),
        ("tls://hub.example.org:443/", Server("hub.example.org", 443, tls=True)),
        ("nats://[2001:db8::1]:4222", Server("2001:db8::1", 4222)),
        ("nats://fleet-nats.fleet-system.svc:4222", Server("fleet-nats.fleet-system.svc", 4222)),
    ],
)
def test_an_address_is_a_scheme_a_host_and_a_port(url: str, server: Server):
    assert parse_servers(url) == (server,)
    assert parse_servers(str(server)) == (server,)


def test_several_are_separated_by_commas():
    assert parse_servers("nats://a, tls://b:1") == (Server("a"), Server("b", 1, tls=True))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hub",
        "hub:4222",
        "http://hub",
        "ws://hub",
        "nats://",
        "nats://hub:",
        "nats://hub:0",
        "nats://hub:65536",
        "nats://hub:x",
        "nats://hub/path",
        "nats://hub?token=x",
        "nats://a,",
        "nats://a b",
        "nats://-a",
    ],
)
def test_what_is_no_address_is_refused_with_where_it_stands(url: str):
    with pytest.raises(
        errors.InvalidConfig, match=r"^nats\.url: .* is not like nats://host"
    ) as refused:
        parse_servers(url, where="nats.url")
    assert refused.value.element == "nats.url"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("hub", "'hub'"),
        ("http://hub", "'http://hub'"),
        ("nats://hub:65536", "'nats://hub…'"),
        ("nats://hub?token=x", "'nats://hub…'"),
        ("?token=x", "'…'"),
        ("nats://" + "a" * 200 + "/x", f"'nats://{'a' * 100}…'"),
    ],
)
def test_what_is_no_address_is_told_up_to_where_a_secret_may_begin(url: str, told: str):
    with pytest.raises(errors.InvalidConfig) as refused:
        parse_servers(url)
    assert str(refused.value) == f"{told} is not like nats://host:4222"


@given(
    before=st.sampled_from(["nats://", "tls://", "", "nats://a,nats://", "http://"]),
    secret=st.text("abcdefgh0123456789-._~%!$&'()*+;=:", min_size=6),
    after=st.sampled_from(["hub", "hub:4222", "", "hub:bad"]),
)
def test_a_secret_in_an_address_is_refused_and_never_repeated(before: str, secret: str, after: str):
    with pytest.raises(
        errors.InvalidConfig, match=r"^nats\.url: .* holds no user, password or token"
    ) as refused:
        parse_servers(f"{before}{secret}@{after}", where="nats.url")
    assert f"{secret}@" not in str(refused.value)


@pytest.mark.parametrize("url", ["nats://fleet:se,cret@10.0.0.1:4222", "nats://fleet:secret"])
def test_half_an_address_with_a_password_repeats_none_of_it(url: str):
    with pytest.raises(errors.InvalidConfig) as refused:
        parse_servers(url)
    assert "se" not in str(refused.value).replace("user", "").replace("those", "")
