"""
What a test needs of the devices, by the marker ``needs``: fixtures beside those of `sessions`.

They stand alone because the capabilities are the plugin's: the black-box suite, which judges the
lab from outside, takes its fixtures from `sessions`.
"""

import pytest

from lab.plugin import needs as capabilities
from tests.using_lab.devices import Device
from tests.using_lab.labs import Status


@pytest.fixture(autouse=True)
def needs(request: pytest.FixtureRequest) -> None:
    """
    Skip a test that needs what the lab doesn't have: `needs("low-port", devices=3)`.

    The capabilities are those of `lab.plugin.needs`, and *devices* counts those that have them.
    """
    marker = request.node.get_closest_marker("needs")
    if marker is None:
        return
    status, wanted = request.getfixturevalue("status"), capabilities.wanted(marker.args)
    found, least = capabilities.fitting(status, wanted), marker.kwargs.get("devices", 1)
    if not found:
        pytest.skip(capabilities.why_none(status, wanted))
    if len(found) < least:
        pytest.skip(f"it needs {least} devices, and lab {status['name']} has {len(found)}")


@pytest.fixture
def fitting(
    request: pytest.FixtureRequest, status: Status, devices: tuple[Device, ...]
) -> tuple[Device, ...]:
    """The devices that have the capabilities that the test says it needs."""
    wanted = capabilities.wanted(request.node.get_closest_marker("needs").args)
    ids = capabilities.fitting(status, wanted)
    return tuple(device for device in devices if device.id in ids)
