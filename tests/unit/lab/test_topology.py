"""`lab.topology`: a topology that makes no sense is refused with where and why."""

import pytest

from lab import topology
from lab.errors import TopologyInvalid


@pytest.mark.parametrize("name", topology.known())
def test_every_topology_that_comes_with_the_lab_can_be_loaded(name: str):
    assert topology.load(name).devices


def test_smoke_has_three_devices_that_labels_tell_apart():
    devices = topology.load("smoke").devices

    assert [device.id for device in devices] == ["dev-01", "dev-02", "dev-03"]
    assert len({tuple(sorted(device.labels.items())) for device in devices}) == 3


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("devices: [{id: a}, {id: a}]", "2 times"),
        ("devices: [{id: Dev.01}]", "Dev.01"),
        ("devices: [{id: a, backend: teapot}]", "teapot"),
        ("devices: [{id: a, lables: {}}]", "lables"),
        ("devices: {", "expected"),
        (f"devices: [{', '.join(f'{{id: d{n}}}' for n in range(100))}]", "more than 99"),
    ],
    ids=["twice", "name", "back-end", "unknown key", "no YAML", "too many"],
)
def test_nonsense_is_refused_with_where_and_why(text: str, why: str):
    with pytest.raises(TopologyInvalid, match=why) as caught:
        topology.parse(text, "lab.yaml")

    assert str(caught.value).startswith("lab.yaml: ")


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(TopologyInvalid) as caught:
        topology.load("smokey")

    assert "smoke" in caught.value.hint
