"""Which settings of a stream are put right."""

import pytest

from fleet.bus import streams
from fleet.bus.streams import Sizing

SIZING = Sizing(replicas=1, max_bytes=1000)


def as_the_server_says(**more):
    """The server leaves what is false out, and adds settings of its own."""
    config = streams.wanted("device-state", SIZING)
    said = {key: value for key, value in config.items() if value is not False}
    return said | {"max_age": 0, "duplicate_window": 120} | more


def test_what_is_as_wanted_has_no_differences():
    assert streams.differences("device-state", as_the_server_says(), SIZING) == {}


@pytest.mark.parametrize(
    ("setting", "found", "wanted"),
    [
        ("allow_rollup_hdrs", True, False),
        ("allow_msg_ttl", False, True),
        ("max_bytes", -1, 1000),
        ("num_replicas", 3, 1),
        ("subject_delete_marker_ttl", 1, 0),
        ("storage", "memory", "file"),
    ],
)
def test_a_difference_is_named_with_what_is_wanted(setting, found, wanted):
    config = as_the_server_says(**{setting: found})
    assert streams.differences("device-state", config, SIZING) == {setting: wanted}


def test_a_missing_setting_is_a_difference():
    config = as_the_server_says()
    del config["allow_direct"]
    assert streams.differences("device-state", config, SIZING) == {"allow_direct": True}
