"""`port_holders`: which container has a port, by rows as podman lists them."""

from typing import Any

import pytest

from fleet.agent.runtimes.podman.api import port_holders, translation
from fleet.contracts import containers
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Port, Protocol

IDS = frozenset({DeviceId("dev-01"), DeviceId("dev-00")})  # the latter is a former one
WANTED = Port(host=8080, container=80)


def row(name: str, *, state: str = "running", device: str = "", **port: Any) -> dict[str, Any]:
    """A row of the listing, as podman 4.3 writes it."""
    labels = {containers.LABEL_DEVICE: device, containers.LABEL_DEPLOYMENT: "web"} if device else {}
    published = {
        "host_ip": "",
        "host_port": 8080,
        "container_port": 80,
        "range": 1,
        "protocol": "tcp",
    }
    return {"Names": [name], "State": state, "Labels": labels, "Ports": [{**published, **port}]}


@pytest.mark.parametrize(
    ("rows", "holder"),
    [
        ([row("squatter")], "container squatter, which is not Fleet's"),
        ([row("fleet.web.a", device="dev-01")], "deployment web (container fleet.web.a)"),
        ([row("fleet.web.a", device="dev-00")], "deployment web (container fleet.web.a)"),
        (
            [row("fleet.web.a", device="dev-02")],
            "deployment web of device dev-02 (container fleet.web.a)",
        ),
        ([row("near", host_port=8078, range=3)], "container near, which is not Fleet's"),
        ([row("far", host_port=8078, range=2)], ""),
        ([row("quiet", state="created")], ""),
        ([row("ended", state="exited")], ""),
        ([row("other", protocol="udp")], ""),
        ([row("portless") | {"Ports": None, "Labels": None}], ""),
        ([row("me")], ""),
    ],
)
def test_the_container_that_has_the_port_is_named(rows: list[dict[str, Any]], holder: str):
    assert port_holders.holder(rows, "me", WANTED, IDS) == holder


def test_one_that_is_about_to_run_is_named_where_podman_may_hold_its_ports_already():
    rows = [row("ended", state="exited"), row("fleet.web.a", state="created", device="dev-01")]
    named = port_holders.holder(rows, "me", WANTED, IDS, is_starting=True)
    assert named == "deployment web (container fleet.web.a)"
    assert port_holders.is_podmans("process 12 (conmon)")
    assert port_holders.is_podmans("process 12 (podman)")
    assert not port_holders.is_podmans("process 12 (nginx)")


def test_the_container_in_the_hosts_network_that_a_process_runs_in_is_named():
    rows = [row("quiet", state="exited") | {"Pid": 0}, row("squatter") | {"Pid": 40}]
    assert port_holders.of_process(rows, (41, 40, 1), IDS).startswith("container squatter,")
    assert port_holders.of_process(rows, (41, 1), IDS) == ""
    assert port_holders.of_process(rows, (), IDS) == ""


def test_what_a_container_publishes_is_read_also_of_ranges_and_both_protocols():
    listed = [row("me", range=2, protocol="tcp,udp", host_ip="10.0.0.1")]
    found = port_holders.wanted(listed, "me")
    assert found == tuple(
        Port(host=host, container=inside, protocol=protocol, host_ip="10.0.0.1")
        for protocol in (Protocol.TCP, Protocol.UDP)
        for host, inside in ((8080, 80), (8081, 81))
    )
    assert port_holders.wanted(listed, "other") == ()
    assert translation.ports({"Ports": None}) == ()
