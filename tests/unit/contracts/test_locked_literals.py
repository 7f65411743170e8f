"""
Literals that other programs, dashboards and scripts grep for.

They come from the system that this project re-creates (contracts.md 1): a
change here breaks somebody who isn't here to say so.
"""

import pytest

from fleet.contracts import containers, kv, messages, names, permissions, resources
from fleet.contracts.names import DeploymentName, DeviceId

PI, HELLO = DeviceId("pi-01"), DeploymentName("hello-web")


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (resources.GROUP, "fleet.nationtech.io"),
        (resources.VERSION, "v1alpha1"),
        (resources.API_VERSION, "fleet.nationtech.io/v1alpha1"),
        (resources.FINALIZER, "fleet.nationtech.io/finalizer"),
        (resources.NAMESPACE, "fleet-system"),
        (resources.REMOVE_ORPHANS, "fleet.nationtech.io/remove-orphans"),
        (resources.DEPLOYMENT_KIND, "Deployment"),
        (resources.DEPLOYMENT_PLURAL, "deployments"),
        (resources.DEPLOYMENT_SHORT_NAME, "fleetdep"),
        (resources.DEVICE_KIND, "Device"),
        (resources.DEVICE_PLURAL, "devices"),
        (resources.DEVICE_SHORT_NAME, "fleetdev"),
        (kv.BUCKET_DESIRED_STATE, "desired-state"),
        (kv.BUCKET_DEVICE_INFO, "device-info"),
        (kv.BUCKET_DEVICE_STATE, "device-state"),
        (kv.BUCKET_DEVICE_HEARTBEAT, "device-heartbeat"),
        (kv.desired_state_key(PI, HELLO), "pi-01.hello-web"),
        (kv.device_info_key(PI), "info.pi-01"),
        (kv.device_state_key(PI, HELLO), "state.pi-01.hello-web"),
        (kv.device_heartbeat_key(PI), "heartbeat.pi-01"),
        (containers.container_name(HELLO, "web"), "fleet.hello-web.web"),
        (containers.LABEL_DEVICE, "fleet.nationtech.io/device"),
        (containers.LABEL_DEPLOYMENT, "fleet.nationtech.io/deployment"),
        (containers.LABEL_SERVICE, "fleet.nationtech.io/service"),
        (containers.LABEL_DIGEST, "fleet.nationtech.io/digest"),
        (containers.LABEL_DEVICES, "fleet.nationtech.io/devices"),
        (containers.LABEL_FILES, "fleet.nationtech.io/files"),
        (permissions.inbox_prefix(PI), "_INBOX_pi-01"),
    ],
    ids=str,
)
def test_a_literal_stays_as_it_is(value, literal):
    assert value == literal


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (messages, "ReconcileScore"),
        (messages, "DeviceInfo"),
        (messages, "DeploymentState"),
        (messages, "HeartbeatPayload"),
        (names, "DeploymentName"),
        (names, "DeviceId"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_type_keeps_its_name(module, name):
    assert getattr(module, name).__name__ == name


def test_the_buckets_are_these_four():
    assert kv.BUCKETS == ("desired-state", "device-info", "device-state", "device-heartbeat")
