"""The ports of a lab: well-known ones where they are free, and the same ever after."""

import socket

import pytest

from lab.host.lab_host import Addresses, LabHost
from lab.system import ports


@pytest.fixture
def host(tmp_path):
    return LabHost("test", tmp_path, Addresses(255))


@pytest.fixture
def taken():
    """A port that somebody listens at, on every address."""
    with socket.create_server(("", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_free_port_is_preferred(host):
    wanted = ports.free()
    assert host.port("nats", prefer=wanted) == wanted


def test_a_port_that_somebody_holds_is_not_taken(host, taken):
    assert host.port("nats", prefer=taken) != taken


def test_a_port_at_an_address_that_is_not_there_yet_is_looked_at_all_the_same(host, taken):
    assert host.port("nats", prefer=taken, address="10.213.255.1") != taken


def test_a_port_once_chosen_is_kept_whatever_listens_there_now(host):
    port = host.port("nats", prefer=ports.free())
    with socket.create_server(("127.0.0.1", port)):
        assert host.port("nats", prefer=port) == port
        assert LabHost("test", host.state, host.addresses).port("nats") == port


def test_no_two_purposes_share_a_port(host):
    wanted = ports.free()
    chosen = {host.port(purpose, prefer=wanted) for purpose in ("nats", "registry", "monitor")}
    assert len(chosen) == 3


def test_no_outgoing_connection_takes_the_port_of_a_part_that_is_down(host):
    assert host.port("monitor") < 32_768  # where Linux begins with those, unless it is told to
