"""`Networks`: whose one is, how one is made, and what podman answers oddly."""

import json
from pathlib import Path
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api import networks as module
from fleet.agent.runtimes.podman.api.lookup import Lookup
from fleet.agent.runtimes.podman.api.networks import Networks
from fleet.contracts import containers
from fleet.contracts.names import DeploymentName, DeviceId

DEVICE, FORMER = DeviceId("dev-01"), DeviceId("dev-00")
WEB = DeploymentName("web")
PODMAN = "/networks/podman/json"
OURS = "/networks/fleet.web/json"


@pytest.fixture(autouse=True)
def name_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What answers names, installed."""
    path = tmp_path / "aardvark-dns"
    path.touch()
    monkeypatch.setattr(module, "NAME_SERVERS", (tmp_path / "elsewhere", path))
    return path


class Answer:
    def __init__(self, status: int, said: Any = None) -> None:
        self.status_code = status
        self.text = json.dumps(said)

    def json(self) -> Any:
        return json.loads(self.text)


class Podman:
    """Answers each path with what a test says, in turn; keeps what it was asked to make."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        self._answers = answers
        self.made: dict[str, Any] = {}
        self.deleted: list[str] = []

    def request(self, method: str, path: str, **arguments: Any) -> Answer:
        if method == "DELETE":
            self.deleted.append(path)
        if path == "/networks/create":
            self.made = json.loads(arguments["data"])
        answers = self._answers.get(path, [])
        return answers.pop(0) if answers else Answer(404 if method == "GET" else 200, {})


def networks(podman: Podman) -> Networks:
    lookup = Lookup(DEVICE, podman.request)
    lookup.vouch(frozenset({FORMER}))
    return Networks(DEVICE, lookup, podman.request)


def labelled(device: str, name: str = "fleet.web") -> dict[str, Any]:
    labels = {containers.LABEL_DEVICE: device, containers.LABEL_DEPLOYMENT: "web"}
    return {"name": name, "labels": labels}


def test_a_network_is_as_podmans_own_as_to_ipv6_and_mtu():
    usual = {"ipv6_enabled": True, "options": {"mtu": "1400", "vlan": "7"}}
    podman = Podman({PODMAN: [Answer(200, usual)]})
    networks(podman).ensure(WEB)
    assert podman.made["ipv6_enabled"] is True
    assert podman.made["options"] == {"mtu": "1400"}
    assert podman.made["dns_enabled"] is True


@pytest.mark.parametrize("usual", [None, "odd", {}, {"options": 5}, {"ipv6_enabled": "yes"}])
def test_where_podmans_own_is_odd_a_network_is_made_all_the_same(usual: Any):
    podman = Podman({PODMAN: [Answer(200, usual)]})
    networks(podman).ensure(WEB)
    assert podman.made["name"] == "fleet.web"
    assert not podman.made.get("ipv6_enabled")


@pytest.mark.parametrize("device", [DEVICE, FORMER])
def test_one_that_is_ours_or_of_our_former_id_is_used_and_goes(device: DeviceId):
    podman = Podman({OURS: [Answer(200, labelled(device))] * 2})
    made = networks(podman)
    made.ensure(WEB)
    made.release(WEB)
    assert (podman.made, podman.deleted) == ({}, ["/networks/fleet.web"])


@pytest.mark.parametrize("labels", [None, {}, {containers.LABEL_DEVICE: "dev-02"}, "odd"])
def test_one_that_is_not_ours_is_neither_used_nor_removed(labels: Any):
    podman = Podman({OURS: [Answer(200, {"name": "fleet.web", "labels": labels})] * 2})
    made = networks(podman)
    with pytest.raises(errors.NameTaken):
        made.ensure(WEB)
    made.release(WEB)
    assert (podman.made, podman.deleted) == ({}, [])


def test_one_that_a_sibling_made_at_the_same_time_is_used():
    found = [Answer(404), Answer(200, labelled(DEVICE))]
    networks(Podman({OURS: found, "/networks/create": [Answer(409, {"message": "taken"})]})).ensure(
        WEB
    )


def test_the_list_holds_what_is_ours_by_label_and_name():
    rows = [
        labelled(DEVICE),
        labelled("dev-02", "fleet.x"),
        labelled(DEVICE, "renamed"),
        {"name": "podman"},
        {"labels": {containers.LABEL_DEVICE: DEVICE, containers.LABEL_DEPLOYMENT: "No Name"}},
        "odd",
    ]
    assert networks(Podman({"/networks/json": [Answer(200, rows)]})).deployments() == {WEB}


def test_without_a_name_server_a_network_has_no_names_and_the_devices_own_servers_answer_at_once(
    name_server: Path,
):
    name_server.unlink()
    podman = Podman({})
    networks(podman).ensure(WEB)
    assert podman.made["dns_enabled"] is False


def test_one_without_names_is_made_anew_once_there_is_a_name_server_and_nobody_in_it():
    nameless = labelled(DEVICE) | {"dns_enabled": False}
    podman = Podman({OURS: [Answer(200, nameless)]})
    networks(podman).ensure(WEB)
    assert podman.deleted == ["/networks/fleet.web"]
    assert podman.made["dns_enabled"] is True


def test_one_without_names_that_is_in_use_stays_as_it_is():
    nameless = labelled(DEVICE) | {"dns_enabled": False}
    in_use = Answer(409, {"message": "network is being used"})
    podman = Podman({OURS: [Answer(200, nameless)], "/networks/fleet.web": [in_use]})
    networks(podman).ensure(WEB)
    assert podman.made == {}
