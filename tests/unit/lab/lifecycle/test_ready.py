"""`lab.lifecycle.ready`: why a device isn't Ready, in words."""

import pytest

from lab.lifecycle import ready


def device(*conditions):
    return {"status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (None, "has not registered"),
        (device(), "has no condition Ready yet"),
        (device({"type": "Ready", "status": "False", "reason": "Silent"}), "not Ready (Silent)"),
        (device({"type": "Ready", "status": "True"}), ""),
    ],
    ids=["absent", "new", "silent", "ready"],
)
def test_a_device_says_why_it_is_not_ready(found, why):
    assert ready.unready(found) == why
