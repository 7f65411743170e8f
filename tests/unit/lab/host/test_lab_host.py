"""`lab.host.lab_host`: names that are unique on the host and fit the kernel, ports that stay."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.devices import rootless
from lab.host.lab_host import Addresses, LabHost
from lab.lifecycle.topology import MOST_DEVICES

LONGEST_LINK_NAME = 15


@pytest.mark.parametrize("number", [1, 254])
def test_names_of_links_fit_the_kernel(number: int):
    names = (Addresses(number).bridge, Addresses(number).link(MOST_DEVICES))

    assert all(len(name) <= LONGEST_LINK_NAME for name in names)


def test_the_addresses_of_all_devices_lie_in_the_labs_network_and_differ():
    where = Addresses(9)

    addresses = {where.device(index) for index in range(1, MOST_DEVICES + 1)}

    assert len(addresses) == MOST_DEVICES
    assert all(address in where.subnet for address in addresses)
    assert where.gateway not in map(str, addresses)


def test_no_two_rootless_devices_of_any_labs_share_an_id():
    users = sorted(Addresses(n).user(i) for n in (1, 2, 254) for i in range(1, MOST_DEVICES + 1))

    assert all(later - first >= rootless.IDS for first, later in itertools.pairwise(users))
    assert users[-1] + rootless.IDS < 2**31


def test_two_labs_share_no_name():
    one, other = Addresses(1), Addresses(11)

    assert {one.bridge, one.table, one.mac, one.link(1)}.isdisjoint(
        {other.bridge, other.table, other.mac, other.link(1)}
    )


def test_a_port_stays_the_same_and_is_nobody_elses(tmp_path: Path):
    host = LabHost("x", tmp_path, Addresses(1))

    assert host.port("monitor") == host.port("monitor") != host.port("metrics")


def test_parts_that_ask_for_ports_at_once_share_none_and_each_is_remembered(tmp_path: Path):
    host = LabHost("x", tmp_path, Addresses(1))
    parts = [f"part-{number}" for number in range(24)]

    with ThreadPoolExecutor(len(parts)) as pool:
        given = dict(zip(parts, pool.map(host.port, parts), strict=True))

    assert len(set(given.values())) == len(parts)
    assert {part: host.port(part) for part in parts} == given


def test_a_wait_takes_no_longer_than_its_stage_has_left(tmp_path: Path):
    spent = LabHost("x", tmp_path, Addresses(1), deadline=0.0)

    assert spent.budget(30) == 0
    assert LabHost("x", tmp_path, Addresses(1)).budget(30) == 30
