"""`lab.host.labs`: names that are safe as paths, one command at a time, what to type as root."""

import threading
from pathlib import Path

import pytest

from lab.errors import LabBusy, TopologyInvalid
from lab.host import labs
from lab.host.lab_host import Addresses, LabHost, write_json


@pytest.fixture(autouse=True)
def _data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path))


@pytest.mark.parametrize("name", ["../up", "a/b", "", "A", "-a", "x" * 33])
def test_a_name_that_is_no_plain_label_is_refused(name: str):
    with pytest.raises(TopologyInvalid):
        labs.state_of(name)


def test_what_to_type_as_root_keeps_the_data_directory(tmp_path: Path):
    assert labs.as_root("lab.up") == f"sudo HARMONY_DATA_DIR={tmp_path} ./dev invoke lab.up"


def test_a_second_command_says_who_holds_the_lab():
    with (
        labs.held("one", "lab.up --name one", within=1, saw=lambda _: None),
        pytest.raises(LabBusy, match=r"`lab.up --name one` \(pid \d+\)"),
        labs.held("one", "lab.down", within=0, saw=lambda _: None),
    ):
        pass


def test_a_second_command_goes_on_when_the_first_has_ended():
    holding, waiting, seen = threading.Event(), threading.Event(), list[str]()

    def first() -> None:
        with labs.held("one", "lab.up", within=5, saw=lambda _: None):
            holding.set()
            waiting.wait(5)

    def saw(what: str) -> None:
        seen.append(what)
        waiting.set()

    other = threading.Thread(target=first)
    other.start()
    holding.wait(5)
    with labs.held("one", "lab.down", within=5, saw=saw):
        other.join()

    assert "held by `lab.up`" in seen[0]


def test_two_labs_are_held_at_the_same_time():
    with (
        labs.held("one", "lab.up", within=0, saw=lambda _: None),
        labs.held("two", "lab.up", within=0, saw=lambda _: None),
    ):
        pass


def test_whoever_holds_a_lab_has_its_directory_though_the_last_one_removed_it():
    for _ in range(2):
        with labs.held("one", "lab.down", within=0, saw=lambda _: None):
            assert labs.state_of("one").is_dir()
            labs.state_of("one").rmdir()


@pytest.fixture
def lab(tmp_path: Path) -> labs.Lab:
    lab = labs.Lab(LabHost("one", labs.state_of("one"), Addresses(1)), "smoke")
    labs.settle(lab, ("a", "b"))
    return lab


def test_devices_may_be_added_at_the_end(lab: labs.Lab):
    labs.settle(lab, ("a", "b", "c"))

    with pytest.raises(TopologyInvalid, match="had the devices a, b, c"):
        labs.settle(lab, ("a", "b"))


@pytest.mark.parametrize("devices", [("b",), ("b", "a"), ("c", "a", "b"), ()])
def test_a_device_may_not_take_the_address_of_another(devices, lab: labs.Lab):
    with pytest.raises(TopologyInvalid):
        labs.settle(lab, devices)


def test_there_is_no_lab_until_one_is_made():
    assert labs.find("one") is None
    assert labs.names() == ()
    assert not labs.is_there("one")


def test_a_lab_that_is_there_has_one_topology_for_good():
    made = labs.Lab(LabHost("one", labs.state_of("one"), Addresses(1)), "smoke")
    made.host.state.mkdir(parents=True)
    write_json(made.host.state / "lab.json", {"number": 1, "topology": "smoke"})

    assert labs.suited("one", None) == labs.suited("one", "smoke") == made
    assert labs.suited("two", "load") is None
    with pytest.raises(TopologyInvalid, match="has topology smoke, not load"):
        labs.suited("one", "load")
