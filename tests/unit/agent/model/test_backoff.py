"""`backoff`: how long is waited, by what failed."""

import pytest

from fleet import errors
from fleet.agent.model import backoff


@pytest.mark.parametrize(
    ("error", "first", "longest"),
    [
        (None, 1.0, 60.0),
        (errors.ContainerFailed("x"), 1.0, 60.0),
        (errors.SysctlUnavailable("x"), 15.0, 300.0),
        (errors.DeviceForbidden("x"), 15.0, 300.0),
        (errors.DeviceMissing("x"), 1.0, 10.0),
        (errors.DeviceInUse("x"), 1.0, 10.0),
    ],
)
def test_the_wait_is_by_what_failed(error: errors.FleetError | None, first: float, longest: float):
    policy = backoff.policy(error)
    assert policy.delay(1, lambda: 0.5) == first
    assert policy.delay(99, lambda: 0.5) == longest
