"""`forwarding`: an IPv6 address from which podman forwards nothing is refused, and no other."""

import json
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api import forwarding
from fleet.contracts import scores

PLAIN = {"/networks/podman/json": {"ipv6_enabled": False}}
ROOTFUL = {"/info": {"host": {"security": {"rootless": False}}}}
ROOTLESS = {"/info": {"host": {"security": {"rootless": True}}}}


class Answer:
    """What podman answers; 404 where it knows nothing."""

    def __init__(self, said: Any) -> None:
        self.status_code = 404 if said is None else 200
        self.text = json.dumps(said)

    def json(self) -> Any:
        return json.loads(self.text)


def service(*addresses: str) -> scores.Service:
    ports = (scores.Port(host=n + 1, container=80, host_ip=a) for n, a in enumerate(addresses))
    return scores.Service(name="a", image="x", ports=tuple(ports))


def check(addresses: tuple[str, ...], answers: dict[str, Any], network: Any = None) -> None:
    def request(method: str, path: str, **_: Any) -> Answer:
        assert method == "GET"
        return Answer(answers.get(path))

    forwarding.check(service(*addresses), network, request)


@pytest.mark.parametrize("addresses", [(), ("",), ("127.0.0.1", "::", "0.0.0.0")])
def test_other_addresses_need_no_ipv6(addresses: tuple[str, ...]):
    assert not forwarding.needs_ipv6(service(*addresses))


def test_an_address_from_which_nothing_is_forwarded_is_told():
    with pytest.raises(errors.AddressUnavailable, match="nothing is forwarded from fd00::1"):
        check(("127.0.0.1", "fd00::1"), PLAIN | ROOTFUL)


def test_a_network_that_is_there_is_asked_rather_than_the_usual_one():
    check(("fd00::1",), PLAIN | ROOTFUL, {"ipv6_enabled": True})
    with pytest.raises(errors.AddressUnavailable):
        check(("fd00::1",), ROOTFUL, {"ipv6_enabled": False})


@pytest.mark.parametrize(
    "answers",
    [
        PLAIN | ROOTLESS,
        {"/networks/podman/json": {"ipv6_enabled": True}} | ROOTFUL,
        ROOTFUL,
        {"/networks/podman/json": "odd"} | ROOTFUL,
        PLAIN,
        PLAIN | {"/info": {"host": None}},
    ],
    ids=["rootless", "ipv6", "no network", "odd network", "no info", "odd info"],
)
def test_where_it_is_forwarded_or_nobody_knows_it_is_allowed(answers: dict[str, Any]):
    check(("fd00::1",), answers)
