"""`address_allocation`: a /24 that overlaps nothing, and the holder's name where none is left."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import LabBusy
from lab.host import address_allocation
from lab.host.address_allocation import Taken
from lab.host.lab_host import Addresses, write_json

NETWORKS = st.builds(
    lambda third, bits: IPv4Network(f"10.213.{third}.0/{bits}", strict=False),
    st.integers(0, 255),
    st.integers(18, 30),
)


@given(st.lists(NETWORKS, max_size=8))
def test_the_network_chosen_overlaps_none_that_is_taken(networks):
    number = address_allocation.choose(Taken(network, "somebody") for network in networks)

    assert not any(Addresses(number).subnet.overlaps(network) for network in networks)


def test_the_lowest_free_number_is_chosen():
    taken = [Taken(Addresses(number).subnet, "x") for number in (1, 2, 4)]

    assert address_allocation.choose(taken) == 3


def test_the_error_names_the_holder():
    with pytest.raises(LabBusy) as caught:
        address_allocation.choose([Taken(IPv4Network("10.0.0.0/8"), "link tun0 (the company VPN)")])

    assert "the company VPN" in caught.value.hint


def test_a_lab_that_is_down_to_its_directory_still_holds_its_network(tmp_path: Path):
    write_json(tmp_path / "other" / "lab.json", {"number": 7, "name": "other"})

    taken = tuple(address_allocation._of_labs(tmp_path, "mine"))

    assert address_allocation.holder_of(7, taken) == f"lab other ({tmp_path / 'other'})"
    assert address_allocation.holder_of(8, taken) is None


def test_a_lab_is_not_in_its_own_way(tmp_path: Path):
    write_json(tmp_path / "mine" / "lab.json", {"number": 7, "name": "mine"})

    assert tuple(address_allocation._of_labs(tmp_path, "mine")) == ()


def test_an_alias_tells_whose_a_link_is():
    link = {
        "ifname": "fl7",
        "ifalias": "fleet-lab:/srv/labs/ci",
        "addr_info": [{"local": "10.213.7.1", "prefixlen": 24}],
    }

    taken = tuple(address_allocation._of_addresses([link], None))

    assert address_allocation.holder_of(7, taken) == "link fl7 (fleet-lab:/srv/labs/ci)"


def test_the_default_route_takes_nothing():
    assert tuple(address_allocation._of_routes([{"dst": "default", "dev": "eth0"}], None)) == ()
