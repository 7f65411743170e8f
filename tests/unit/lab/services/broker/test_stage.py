"""Who the broker lets in."""

from pathlib import Path

import pytest

from fleet import errors
from fleet.contracts import permissions
from fleet.contracts.names import DeviceId
from lab.services.broker import stage
from lab.services.broker.stage import Broker

ONE = DeviceId("dev-01")


def _broker(*devices: DeviceId) -> Broker:
    return Broker(Path("/state/broker"), "10.213.0.1", 4222, 40000, devices)


def test_each_has_just_its_own_rights():
    rights = {user.name: user.permissions for user in _broker(ONE).users}
    assert rights == {
        stage.ADMIN: None,
        stage.OPERATOR: permissions.operator_permissions(),
        "dev-01": permissions.device_permissions(ONE),
    }


@pytest.mark.parametrize("user", [stage.ADMIN, stage.OPERATOR])
def test_no_device_can_be_named_like_one_of_the_others(user):
    with pytest.raises(errors.InvalidName):
        DeviceId(user)


def test_no_device_can_listen_to_the_operators_inbox():
    with pytest.raises(errors.InvalidName):
        DeviceId(permissions.OPERATOR_INBOX_PREFIX.removeprefix("_INBOX_"))


def test_clients_connect_to_the_labs_address():
    assert _broker().url == "nats://10.213.0.1:4222"
