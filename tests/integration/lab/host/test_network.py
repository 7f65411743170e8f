"""`lab.host.network`, `address_allocation`: real links, namespaces, rules; all gone afterwards."""

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet.scores.score import Change, Score
from lab.errors import LabError
from lab.host import address_allocation, labs, mounts, network
from lab.host.lab_host import LabHost
from lab.host.ledger import Kind
from lab.host.network import BridgeScore, CableScore, FirewallScore, NamespacesScore, PlacesScore
from lab.host.processes import Inside
from lab.lifecycle import take_down
from lab.system import commands, waiting

ONE, TWO = "dev-01", "dev-02"


@pytest.fixture
def two_devices(lab_host: LabHost) -> LabHost:
    for score in parts():
        score.interpret(lab_host).expect()
    return lab_host


def parts() -> tuple[Score[LabHost], ...]:
    return (
        BridgeScore(),
        FirewallScore(),
        PlacesScore(),
        NamespacesScore(ONE),
        CableScore(ONE, 1),
        NamespacesScore(TWO),
        CableScore(TWO, 2),
    )


def reaches(enter: tuple[str, ...], address: str, port: int) -> bool:
    """Tell whether a TCP connection gets through, from the namespaces that *enter* enters."""
    script = f"exec 3<>/dev/tcp/{address}/{port}"
    return commands.ask(*enter, "timeout", "2", "bash", "-c", script).ok


def comes_to_reach(enter: tuple[str, ...], address: str, port: int) -> None:
    """Wait until a TCP connection gets through: links and neighbours need a moment."""

    def missing() -> str:
        return "" if reaches(enter, address, port) else f"{address}:{port} isn't reached"

    waiting.wait_for("a connection gets through", missing, within=30)


@pytest.fixture
def server(two_devices: LabHost):
    """Something that listens on the bridge's address; its port."""
    with socket.create_server((two_devices.address, 0)) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def stranger(tmp_path: Path):
    """A neighbour of this host that isn't on the lab's bridge, with a route to it."""
    net = tmp_path / "stranger"
    net.touch()
    commands.run("unshare", f"--net={net}", "true")
    enter = Inside(net).enter()
    try:
        link = ("ip", "link", "add", "flstranger", "type", "veth", "peer", "name", "eth0")
        commands.run(*link, "netns", str(net))
        commands.run("ip", "addr", "add", "198.51.100.1/24", "dev", "flstranger")
        commands.run("ip", "link", "set", "flstranger", "up")
        commands.run(*enter, "ip", "addr", "add", "198.51.100.2/24", "dev", "eth0")
        commands.run(*enter, "ip", "link", "set", "eth0", "up")
        commands.run(*enter, "ip", "route", "add", "default", "via", "198.51.100.1")
        yield enter
    finally:
        commands.ask("ip", "link", "delete", "flstranger")
        mounts.unmount(net)


def test_a_second_time_changes_nothing(two_devices: LabHost):
    changes = {score.interpret(two_devices).change for score in parts()}

    assert changes == {Change.UNCHANGED}


def test_devices_reach_the_labs_servers_until_they_are_unplugged(two_devices: LabHost, server: int):
    one, two = (network.namespaces(two_devices, device).enter() for device in (ONE, TWO))
    address = two_devices.address
    comes_to_reach(one, address, server)

    network.set_plugged(two_devices, 1, plugged=False)
    assert not reaches(one, address, server)
    comes_to_reach(two, address, server)

    network.set_plugged(two_devices, 1, plugged=True)
    comes_to_reach(one, address, server)


def test_up_plugs_a_device_in_again(two_devices: LabHost):
    network.set_plugged(two_devices, 1, plugged=False)

    outcome = CableScore(ONE, 1).interpret(two_devices)

    assert "unplugged" in outcome.details[0]
    assert network.is_plugged(two_devices, 1)


def test_what_is_missing_of_the_network_is_repaired(two_devices: LabHost):
    where = two_devices.addresses
    commands.run("nft", "flush", "table", "inet", where.table)
    commands.run("ip", "link", "delete", where.link(1))
    commands.run("umount", str(network.namespaces(two_devices, TWO).net))

    for score in parts():
        score.interpret(two_devices).expect()

    assert {score.interpret(two_devices).change for score in parts()} == {Change.UNCHANGED}


def test_a_bridge_that_is_gone_comes_back_with_its_devices(two_devices: LabHost, tmp_path: Path):
    commands.run("ip", "link", "delete", two_devices.addresses.bridge)

    for score in parts():
        score.interpret(two_devices).expect()

    assert {score.interpret(two_devices).change for score in parts()} == {Change.UNCHANGED}


def test_a_stranger_reaches_this_host_but_not_the_labs_servers(
    two_devices: LabHost, server: int, stranger: tuple[str, ...]
):
    with socket.create_server(("198.51.100.1", 0)) as ordinary:
        comes_to_reach(stranger, "198.51.100.1", ordinary.getsockname()[1])
        assert not reaches(stranger, two_devices.address, server)


def test_a_device_has_a_run_directory_of_its_own(two_devices: LabHost):
    enter = network.namespaces(two_devices, ONE).enter()

    commands.run(*enter, "touch", "/run/from-the-device")

    assert not Path("/run/from-the-device").exists()


def test_the_host_keeps_its_settings(lab_host: LabHost):
    before = commands.run("sysctl", "-n", "net.ipv4.ip_forward")

    for score in parts():
        score.interpret(lab_host).expect()

    assert commands.run("sysctl", "-n", "net.ipv4.ip_forward") == before
    assert lab_host.ledger.of(Kind.SYSCTL) == ()


def test_down_removes_all_and_may_be_repeated(two_devices: LabHost):
    where = two_devices.addresses

    assert take_down.undo_all(two_devices, lambda _: None) == ()
    assert take_down.undo_all(two_devices, lambda _: None) == ()

    ruled = commands.ask("nft", "list", "table", "inet", where.table).ok
    taken_anew = Path("/sys/class/net", where.bridge).exists()  # by a test beside this one
    assert str(two_devices.state) not in network.alias_of(where.bridge)
    assert taken_anew or not ruled
    assert not [path for path in mounts.mounted() if two_devices.state in path.parents]
    assert list(two_devices.state.iterdir()) == []


def test_down_copes_with_what_was_only_intended(lab_host: LabHost):
    book = lab_host.ledger
    book.intend(Kind.LINK, "fl-never", mark="x")
    book.intend(Kind.FIREWALL, "fleet_never")
    book.intend(Kind.NAMESPACE, "never", files=[str(lab_host.state / "ns/never.net")], whole=False)
    book.intend(Kind.MOUNT, str(lab_host.state / "ns"))
    book.intend(Kind.CONTAINERS, "never", root="/nowhere", net="/nowhere", mnt="/nowhere")
    book.intend(Kind.DIRECTORY, "/nowhere", shared=str(book.path))

    assert take_down.undo_all(lab_host, lambda _: None) == ()


def test_a_foreign_link_of_our_name_is_left_alone(lab_host: LabHost):
    bridge = lab_host.addresses.bridge
    commands.run("ip", "link", "set", bridge, "alias", "somebody else's")
    (entry,) = lab_host.ledger.of(Kind.LINK)

    with pytest.raises(LabError, match="belongs to somebody else's"):
        network.undo_link(entry)

    commands.run("ip", "link", "set", bridge, "alias", entry.facts["mark"])


def test_two_labs_come_up_at_once_and_one_goes_without_the_other_noticing(two_devices: LabHost):
    others = [labs.ensure(name, "smoke").host for name in ("one", "other")]
    with ThreadPoolExecutor() as pool:
        for _ in pool.map(bring_up, others):
            pass
    stays, goes = others
    try:
        assert take_down.undo_all(goes, lambda _: None) == ()

        for host in (two_devices, stays):
            assert {score.interpret(host).change for score in parts()} == {Change.UNCHANGED}
            with socket.create_server((host.address, 0)) as listening:
                enter = network.namespaces(host, ONE).enter()
                comes_to_reach(enter, host.address, listening.getsockname()[1])
    finally:
        assert take_down.undo_all(stays, lambda _: None) == ()


def bring_up(host: LabHost) -> None:
    for score in parts():
        score.interpret(host).expect()


def test_another_lab_gets_other_addresses_and_both_know_the_holder(lab_host: LabHost):
    other = labs.ensure("other", "smoke").host
    try:
        assert other.addresses.number != lab_host.addresses.number
        taken = address_allocation.look_around(lab_host.state.parent, but="other")
        holder = address_allocation.holder_of(lab_host.addresses.number, taken)
        assert holder == f"lab test ({lab_host.state})"
    finally:
        take_down.undo_all(other, lambda _: None)
