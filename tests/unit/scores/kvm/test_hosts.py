"""Addresses of hypervisors: what is meant, and what an attacker might mean by one."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.scores.kvm.hosts import KvmHost

LABEL = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOST = st.one_of(
    st.lists(LABEL, min_size=1, max_size=3).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
)
USER = st.from_regex(r"([a-z_][a-z0-9_-]{0,10}@)?", fullmatch=True)
PORT = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))
TAIL = st.sampled_from(["", "/system", "/session", "/session?keyfile=/a%20key", "?keyfile=/k"])


@given(USER, HOST, PORT, TAIL)
def test_an_address_is_read_from_what_it_is_written_as(user, host, port, tail):
    address = KvmHost(f"qemu+ssh://{user}{host}{port}{tail}")
    assert KvmHost(str(address)) == address
    assert address.port == (int(port[1:]) if port else None)
    assert address.user == user.rstrip("@")


@pytest.mark.parametrize(
    ("value", "shortest", "uri", "target"),
    [
        ("root@hypervisor1", "root@hypervisor1", "root@hypervisor1/system?", "root@hypervisor1"),
        ("HV.Example", "hv.example", "hv.example/system?", "hv.example"),
        ("ssh://h/", "h", "h/system?", "h"),
        ("qemu+ssh://ops@h/system", "ops@h", "ops@h/system?", "ops@h"),
        ("ssh://ops@[2001:DB8::07]:2222", "ssh://ops@[2001:db8::7]:2222",
         "ops@[2001:db8::7]:2222/system?", "ops@2001:db8::7"),
        ("[fe80::1%25eth0]", "[fe80::1%25eth0]", "[fe80::1%25eth0]/system?", "fe80::1%eth0"),
        ("qemu+ssh://h/session?keyfile=/a%20b", "qemu+ssh://h/session?keyfile=/a%20b",
         "h/session?keyfile=/a%20b&", "h"),
    ],
)  # fmt: skip
def test_an_address_is_told_to_libvirt_and_to_ssh(value, shortest, uri, target):
    address = KvmHost(value)
    assert str(address) == shortest
    assert address.uri() == f"qemu+ssh://{uri}no_tty=1"
    assert address.ssh_target() == target


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "empty"),
        ("-oProxyCommand=reboot", "begins with a dash"),
        ("root@-oProxyCommand=reboot", "begins with a dash"),
        ("-oX@h", "begins with a letter"),
        ("ssh://-h", "begins with a dash"),
        ("h\n-oX", "control character"),
        ("h\0", "control character"),
        ("a b", "a space"),
        ("é", "beyond ASCII"),
        ("ROOT@h", "a user is"),
        ("a;b@h", "a user is"),
        ("@h", "a user is"),
        ("$(reboot)", "a host is"),
        ("`reboot`", "a host is"),
        ("a..b", "a host is"),
        ("a_b", "a host is"),
        ("x" * 64, "a host is"),
        ("x" * 600, "longer than"),
        ("999.1.1.1", "not an address"),
        ("1.2.3", "not an address"),
        ("root@", "host is missing"),
        ("ssh://", "host is missing"),
        ("a@b@c", "write user@host"),
        ("h#x", "write user@host"),
        ("fe80::1", "brackets"),
        ("[fe80::1%eth0]", "after %25"),
        ("[fe80::1%25]", "after %25"),
        ("h:22", "write ssh://"),
        ("ssh://h:0", "from 1 to 65535"),
        ("ssh://h:65536", "from 1 to 65535"),
        ("ssh://h:", "from 1 to 65535"),
        ("http://h", "not a way in"),
        ("qemu+tcp://h/system", "not encrypted"),
        ("qemu:///system", "the machine itself"),
        ("h/system", "needs qemu+ssh://"),
        ("ssh://h?keyfile=/k", "need qemu+ssh://"),
        ("qemu+ssh://h/../etc", "no libvirt"),
        ("qemu+ssh://h?no_verify=1", "whoever answers"),
        ("qemu+ssh://h?command=/tmp/x", "another program"),
        ("qemu+ssh://h?netcat=/tmp/x", "another program"),
        ("qemu+ssh://h?surprise=1", "unknown"),
        ("qemu+ssh://h?keyfile=-oX", "absolute path"),
        ("qemu+ssh://h?keyfile=/a%0Ab", "absolute path"),
        ("qemu+ssh://h?keyfile=/a&keyfile=/b", "twice"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_could_be_read_as_something_else_is_refused(value, rule):
    with pytest.raises(errors.InvalidHost, match=re.escape(rule)):
        KvmHost(value)


@pytest.mark.parametrize(
    "value",
    ["root:sesame@h", "ssh://root:sesame@h", "ssh://:sesame@h", "ssh://root:sesame/x@h",
     "root:sesame with a space@h", "root:sesame" * 60 + "@h"],
)  # fmt: skip
def test_a_password_is_refused_and_never_repeated(value):
    with pytest.raises(errors.InvalidHost) as refusal:
        KvmHost(value)
    assert "sesame" not in f"{refusal.value} {refusal.value.element}"


@given(st.text())
def test_any_text_is_an_address_or_refused(value):
    try:
        address = KvmHost(value)
    except errors.InvalidHost:
        return
    assert not address.ssh_target().startswith("-")
    assert address.uri().isprintable()
