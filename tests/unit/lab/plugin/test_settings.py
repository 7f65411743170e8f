"""`lab.plugin.settings`: a worker of pytest-xdist has what its controller was told."""

from pathlib import Path

from lab.plugin.settings import Keep, Settings


def test_what_travels_to_a_worker_is_plain_and_whole():
    told = Settings("mine", "smoke", Keep.ON_FAILURE, Path("/logs")).as_dict()

    assert told == {
        "name": "mine",
        "topology": "smoke",
        "keep": "on-failure",
        "directory": "/logs",
        "lease_within": "300.0",
        "wrong": "",
    }
