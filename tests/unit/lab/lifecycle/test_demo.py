"""`lab.lifecycle.demo`: what the user is told to apply runs on this lab."""

import yaml

from lab.images import demo_images
from lab.lifecycle import demo, topology

REGISTRY = "10.213.1.1:5000"


def services():
    manifest = yaml.safe_load(demo.render(demo.TEMPLATE.read_text(), REGISTRY))
    return manifest["spec"]["score"]["data"]["services"]


def test_the_demo_uses_an_image_that_the_lab_makes():
    (service,) = services()

    assert service["image"].removeprefix(f"{REGISTRY}/") in demo_images.demos()


def test_the_page_is_where_the_next_steps_say():
    (service,) = services()

    assert service["ports"] == [{"host": demo.HOST_PORT, "container": demo_images.PORT}]


def test_the_demo_selects_a_device_of_the_smoke_topology():
    devices = topology.load("smoke").devices

    assert any(demo.selects().items() <= device.labels.items() for device in devices)
