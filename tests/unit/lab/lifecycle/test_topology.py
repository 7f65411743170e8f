"""`lab.lifecycle.topology`: a topology that makes no sense is refused with where and why."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import TopologyInvalid
from lab.lifecycle import topology


@pytest.mark.parametrize("name", topology.known())
def test_every_topology_that_comes_with_the_lab_can_be_loaded(name: str):
    assert topology.load(name).devices


def test_smoke_has_three_devices_that_labels_tell_apart():
    devices = topology.load("smoke").devices

    assert [device.id for device in devices] == ["dev-01", "dev-02", "dev-03"]
    assert len({tuple(sorted(device.labels.items())) for device in devices}) == 3


def test_load_has_twenty_devices_at_four_sites_and_every_ring_at_each():
    devices = topology.load("load").devices
    rings: dict[str, set[str]] = {}
    for device in devices:
        rings.setdefault(device.labels["site"], set()).add(device.labels["ring"])

    assert [device.id for device in devices] == [f"dev-{n:02}" for n in range(1, 21)]
    assert len(rings) == 4
    assert set(map(frozenset, rings.values())) == {frozenset({"canary", "early", "broad"})}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "devices:\n  - id: a\n  - id: b\n  - id: a",
            "4: devices[2].id: 'a' is the device of line 2 already",
        ),
        ("devices: " + 3000 * "[" + 3000 * "]", "1: it is nested too deeply to be read"),
        ("devices:\n  - id: Pi_1", "2: devices[0].id: 'Pi_1' is not 1 to 63 of a-z"),
        ("devices:\n  - id: a\n    backend: pod", "3: devices[0].backend: 'pod' is not one of"),
        (
            "devices:\n  - id: a\n    arch: aarch64",
            "3: devices[0].arch: a device of backend host has none",
        ),
        (
            "devices:\n  - id: a\n    backend: vm\n    rootless: true",
            "4: devices[0].rootless: a device of backend vm has none",
        ),
        (
            "devices:\n  - id: a\n    backend: vm\n    image: debian-1",
            "4: devices[0].image: there is no image 'debian-1'; there are debian-12-aarch64,",
        ),
        (
            "devices:\n  - id: a\n    backend: vm\n    image: debian-12-aarch64",
            "4: devices[0].image: debian-12-aarch64 is of aarch64, the device of x86_64",
        ),
        (
            "devices:\n  - id: a\n    lables: {}",
            "3: devices[0].lables: unknown key; did you mean 'labels'?",
        ),
        (
            "devices:\n  - {id: a, xyz: 1}",
            "2: devices[0].xyz: unknown key; there are arch, backend,",
        ),
        ("devices:\n  - labels: {}", "2: devices[0]: 'id' is a required property"),
        (
            "devices:\n  - id: a\n    labels:\n      version: 1.0",
            "4: devices[0].labels.version: 1.0 is not of type 'string'",
        ),
        (
            "devices:\n  - id: a\n    labels: {kubernetes.io/arch: x}",
            "3: devices[0].labels.kubernetes.io/arch: 'kubernetes.io/arch' is not a label key",
        ),
        ('devices:\n  - id: "a\\n"', "2: devices[0].id: 'a\\n' is not 1 to 63 of"),
        (
            'devices:\n  - id: a\n    labels: {"site": "lab\\n"}',
            "3: devices[0].labels.site: 'lab\\n' is not at most 63 of",
        ),
        ("devices:\n  - id: a\n    id: b", "3: devices[0].id: the key stands here and in line 2"),
        ("devices: &all\n  - *all", "1: devices[0]: "),
        ("devices: [{id: a}]\nsilence: 2", "2: silence: 2 is "),
        ("devices: [{id: a}]\nsilence: often", "2: silence: 'often' is "),
        ("devices: {}\ndescription: 1", "2: description: 1 is not of type 'string'"),
        ("a list\n", "1: 'a list' is not of type 'object'"),
        ("devices: [\n{", "2: this is no YAML: expected"),
        ("devices: !!python/name:os.system", "1: this is no YAML: could not determine"),
        (f"devices: [{', '.join(f'{{id: d{n}}}' for n in range(100))}]", "is too long"),
    ],
)
def test_nonsense_is_refused_with_line_and_reason(text: str, complaint: str):
    with pytest.raises(TopologyInvalid) as caught:
        topology.parse(text, "lab.yaml")

    assert any(
        line.startswith("lab.yaml:") and complaint in line
        for line in str(caught.value).splitlines()
    ), str(caught.value)


def test_a_device_sends_three_heartbeats_in_the_silence_that_makes_it_stale():
    found = [
        topology.parse(f"devices: [{{id: a}}]{more}", "lab.yaml") for more in ("", "\nsilence: 12")
    ]

    assert [(each.silence, each.heartbeat_interval) for each in found] == [(30, 10), (12, 4)]


def test_everything_wrong_is_told_at_once_by_line():
    with pytest.raises(TopologyInvalid) as caught:
        topology.parse("devices:\n  - id: A\n  - id: a\n    labels: 1\nname: x", "lab.yaml")

    lines = [int(line.split(":")[1]) for line in str(caught.value).splitlines()]
    assert lines == [2, 4, 5]


@pytest.mark.parametrize("text", ["", "---", "# nothing", "{}", "description: a lab of nothing"])
def test_a_file_without_devices_is_refused(text: str):
    with pytest.raises(TopologyInvalid) as caught:
        topology.parse(text, "lab.yaml")

    assert str(caught.value) == (
        "lab.yaml:1: 'devices' is a required property: a list of 1 to 99 devices,"
        " such as [{id: dev-01}]"
    )


def test_an_empty_list_of_devices_is_refused():
    with pytest.raises(TopologyInvalid, match=r"2: devices: \[\] is not a list of 1 to 99 devices"):
        topology.parse("description: x\ndevices: []", "lab.yaml")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = tmp_path / "lab.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TopologyInvalid, match="UTF-8"):
        topology.load(str(path))


def test_the_published_schema_is_that_of_the_code():
    published = json.loads(topology.SCHEMA.read_text())
    assert published == json.loads(json.dumps(topology.schema())), "type ./dev invoke schema"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["devices", "id", "labels", "a"]), inner)
        ),
        max_leaves=8,
    )
)
def test_whatever_stands_there_is_a_topology_or_refused(value: object):
    with contextlib.suppress(TopologyInvalid):
        assert isinstance(topology.parse(json.dumps(value), "lab.yaml"), topology.Topology)


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(TopologyInvalid) as caught:
        topology.load("smokey")

    assert "smoke" in caught.value.hint
