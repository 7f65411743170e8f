"""`lab.plugin.needs`: what devices can, by what `lab.status` says of them."""

from typing import Any

import pytest

from lab.errors import TopologyInvalid
from lab.plugin import needs
from lab.plugin.needs import Capability

ROOTFUL = {"id": "a", "backend": "host", "rootless": False}
ROOTLESS = {"id": "b", "backend": "host", "rootless": True}
MACHINE = {"id": "c", "backend": "vm", "rootless": True}


def status(*devices: dict[str, Any], backend: str = "processes") -> dict[str, Any]:
    """The status of a lab of *devices*."""
    told = {"name": "mine", "topology": "smoke", "kubernetes": {"backend": backend}}
    return {**told, "devices": list(devices)}


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        ((), ("a", "b", "c")),
        (("rootful",), ("a",)),
        (("low-port",), ("a",)),
        (("rootless",), ("b", "c")),
        (("rootless", "vm"), ("c",)),
        (("vm", "rootful"), ()),
        (("pods",), ()),
    ],
)
def test_devices_fit_that_can_do_all_of_it(names: tuple[str, ...], ids: tuple[str, ...]):
    assert needs.fitting(status(ROOTFUL, ROOTLESS, MACHINE), needs.wanted(names)) == ids


def test_a_cluster_that_runs_pods_is_a_capability_of_every_device():
    assert needs.fitting(status(ROOTLESS, backend="kubelet"), needs.wanted(["pods"])) == ("b",)


def test_what_a_device_says_of_itself_goes_before_what_its_backend_tells():
    told = {**ROOTFUL, "capabilities": ["rootless", "flies"]}

    assert needs.of_device(status(told), told) == {Capability.ROOTLESS}


@pytest.mark.parametrize("name", ["rootfull", "ROOTFUL", "", 3, None, ["rootful"]])
def test_what_is_no_capability_is_named_with_those_there_are(name: Any):
    with pytest.raises(TopologyInvalid) as caught:
        needs.wanted(["rootful", name])

    assert str(caught.value) == f"needs: there is no capability {name!r}"
    assert caught.value.hint == "there are rootful, rootless, low-port, vm, pods"


def test_a_lab_without_devices_is_a_reason_too():
    words = needs.why_none(status(), needs.wanted(["vm"]))

    assert words == "no device of lab mine is vm (topology smoke); there are none"
