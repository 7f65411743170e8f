"""Settings: flags first, then the environment, then defaults."""

from datetime import timedelta
from pathlib import Path

import pytest

from fleet import errors
from fleet.operator import settings
from fleet.operator.adapters.http_server import Listen
from fleet.operator.adapters.logs import LogFormat
from fleet.operator.intervals import Intervals

ENVIRONMENT = {
    "FLEET_NATS_URL": "nats://bus:4222",
    "FLEET_NATS_CREDENTIALS": "/etc/fleet/operator.json",
    "FLEET_NATS_REPLICAS": "3",
    "FLEET_HEALTH_LISTEN": "127.0.0.1:8080",
    "FLEET_METRICS_LISTEN": ":8081",
    "FLEET_LOG_FORMAT": "console",
}


def test_defaults_are_enough():
    found = settings.read([], {})
    assert found.nats_url == "nats://127.0.0.1:4222"
    assert (found.replicas, found.health, found.log_format) == (1, None, LogFormat.JSON)
    assert found.intervals == Intervals(
        silence=timedelta(seconds=30), resync=timedelta(minutes=5), orphans=timedelta(minutes=10)
    )


def test_the_environment_is_read():
    found = settings.read([], ENVIRONMENT)
    assert found.nats_url == "nats://bus:4222"
    assert found.nats_credentials == Path("/etc/fleet/operator.json")
    assert found.replicas == 3
    assert (found.health, found.metrics) == (Listen("127.0.0.1", 8080), Listen("", 8081))
    assert found.log_format is LogFormat.CONSOLE


def test_a_flag_beats_the_environment():
    found = settings.read(["--nats-url", "nats://other:4222", "--replicas", "1"], ENVIRONMENT)
    assert (found.nats_url, found.replicas) == ("nats://other:4222", 1)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--health-listen", "8080x"],
        ["--replicas", "many"],
        ["--silence", "long"],
        ["--resync", "now"],
        ["--nats-url", "bus"],
    ],
)
def test_a_bad_value_is_named(arguments: list[str]):
    with pytest.raises(errors.InvalidConfig, match=arguments[1]):
        settings.read(arguments, {})


@pytest.mark.parametrize("given", ["--nats-url", "FLEET_NATS_URL"])
def test_a_password_in_an_address_is_refused_and_not_repeated(given: str):
    url = "nats://operator:hush@bus:4222"
    arguments = [given, url] if given.startswith("-") else []
    with pytest.raises(errors.InvalidConfig, match=r"--nats-url: .* no user, password") as refused:
        settings.read(arguments, {"FLEET_NATS_URL": url})
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:80", Listen("127.0.0.1", 80)),
        (":80", Listen("", 80)),
        ("[::1]:80", Listen("::1", 80)),
    ],
)
def test_addresses_are_read(text: str, address: Listen):
    assert Listen.parse(text) == address
