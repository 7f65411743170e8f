"""The demo images."""

import json

import pytest

from lab.images import catalogue


@pytest.mark.parametrize("name", sorted(catalogue.demos()))
def test_a_demo_stops_at_once(name: str):
    config = json.loads(catalogue.demos()[name].config)["config"]

    assert config["StopSignal"] == "SIGKILL"
