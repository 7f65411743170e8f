"""The registry's configuration."""

from pathlib import Path

import yaml

from lab.services import registry
from lab.services.registry import Registry

WANTED = Registry(Path("/state/registry"), "10.213.0.1", 5000)


def test_it_listens_on_the_labs_address_and_keeps_its_images_in_the_state():
    found = yaml.safe_load(registry.render(WANTED))
    assert found["http"]["addr"] == WANTED.address == "10.213.0.1:5000"
    assert found["storage"]["filesystem"]["rootdirectory"] == "/state/registry/images"


def test_images_can_be_deleted_again():
    assert yaml.safe_load(registry.render(WANTED))["storage"]["delete"] == {"enabled": True}
