"""The demo images."""

import json

import pytest

from lab.images import demo_images


@pytest.mark.parametrize("name", sorted(demo_images.demos()))
def test_a_demo_stops_at_once(name: str):
    config = json.loads(demo_images.demos()[name].config)["config"]

    assert config["StopSignal"] == "SIGKILL"
