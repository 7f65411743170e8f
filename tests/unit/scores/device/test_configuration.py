"""What a device is to be: checked before anything is done, and secret where it is."""

import pytest

from fleet import errors
from fleet.scores.device import configuration, travelling
from fleet.scores.device.configuration import (
    FleetDeviceSetupConfig,
    Hub,
    JournalLimits,
    RegistryLogin,
    Secret,
)
from tests.unit.scores.device.making import CONFIG, CREDENTIALS, config


def test_it_travels_to_a_device_and_arrives_as_it_was():
    sent = config(
        registries={"registry:5000": RegistryLogin(username="fleet", password=Secret("hush"))},
        admin_password=Secret("also"),
        journal=JournalLimits(disk="1G"),
    )
    assert travelling.decode(travelling.encode(sent), FleetDeviceSetupConfig) == sent


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (b"", "not a FleetDeviceSetupConfig"),
        (b'{"device_id": "dev-01"}', "missing required field"),
        (travelling.encode(CONFIG).replace(b'"dev-01"', b'"Dev_01"', 1), "not a device id"),
        (travelling.encode(CONFIG).replace(b'"labels"', b'"lables"'), "unknown field `lables`"),
        (travelling.encode(CONFIG).replace(b'"200M"', b'"much"'), "journal.disk"),
    ],
)
def test_what_is_no_configuration_is_refused_with_the_place(wrong, said):
    with pytest.raises(errors.InvalidConfig, match=said):
        travelling.decode(wrong, FleetDeviceSetupConfig)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hub": Hub(url="10.213.1.1")}, "hub.url: '10.213.1.1' is not like nats://"),
        ({"hub": Hub(url="nats://a,http://b")}, "'http://b' is not like"),
        ({"hub": Hub(url="nats://a\nb")}, "hub.url"),
        ({"hub": Hub(url="nats://me:hush@a")}, "hub.url: an address holds no user"),
        ({"admin_keys": ()}, "nobody could log in as fleet-admin"),
        ({"admin_keys": ("-----BEGIN OPENSSH PRIVATE KEY-----",)}, "public SSH key"),
        ({"admin_keys": ("ssh-ed25519 AAAA\nssh-ed25519 BBBB",)}, "public SSH key"),
        ({"time_servers": ("ntp one",)}, "time_servers"),
        ({"time_servers": ("ntp\nFallbackNTP=evil",)}, "time_servers"),
    ],
)
def test_a_setting_that_would_only_fail_on_the_device_is_refused_here(changes, said):
    with pytest.raises(errors.InvalidConfig, match=said):
        config(**changes)


@pytest.mark.parametrize("wrong", ["hush", '{"user": "hush"}', '["hush"]', '{"password": "hush"}'])
def test_credentials_of_no_known_form_are_refused_and_not_shown(wrong):
    with pytest.raises(errors.InvalidConfig, match=r"hub\.credentials") as caught:
        config(hub=Hub(url="nats://hub", credentials=Secret(wrong)))
    assert "hush" not in str(caught.value)


def test_no_secret_shows_in_what_a_log_would_write():
    told = config(
        admin_password=Secret("hush-1"),
        registries={"registry": RegistryLogin(username="fleet", password=Secret("hush-2"))},
    )
    shown = f"{told} {told!r}"
    assert "hush" not in shown
    assert "top secret" not in shown


def test_the_admin_has_a_password_only_where_the_environment_has_one():
    assert configuration.admin_password({}) == ""
    assert configuration.admin_password({"FLEET_VM_ADMIN_PASSWORD": "x"}) == "x"


def test_credentials_are_read_from_their_file(tmp_path):
    (tmp_path / "credentials.json").write_text(CREDENTIALS)
    assert configuration.credentials(tmp_path / "credentials.json") == CREDENTIALS
    with pytest.raises(errors.InvalidConfig, match="no credentials"):
        configuration.credentials(tmp_path / "missing.json")
