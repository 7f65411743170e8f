"""What each user may do; tests/integration/bus tries it on a real server."""

import pytest

from fleet import errors
from fleet.contracts import permissions
from fleet.contracts.names import DeviceId


def test_a_device_may_do_exactly_this():
    assert permissions.device_permissions(DeviceId("pi-01")) == permissions.Permissions(
        publish=(
            "$JS.API.DIRECT.GET.KV_desired-state.$KV.desired-state.pi-01.>",
            "$JS.API.CONSUMER.CREATE.KV_desired-state.*.$KV.desired-state.pi-01.>",
            "$KV.device-info.info.pi-01",
            "$KV.device-state.state.pi-01.*",
            "$KV.device-heartbeat.heartbeat.pi-01",
        ),
        subscribe=("_INBOX_pi-01.>",),
    )


@pytest.mark.parametrize("name", ["*", ">", "a.b", ""])
def test_a_name_that_would_widen_a_subject_is_refused(name):
    with pytest.raises(errors.InvalidName):
        permissions.device_permissions(name)


def test_the_operator_touches_only_the_buckets():
    for subject in permissions.operator_permissions().publish:
        assert "KV" in subject.split(".")[0] or ".KV_" in subject
        assert not subject.startswith("$JS.API.STREAM.DELETE")


def test_the_operator_may_do_the_same_to_each_bucket_and_hears_only_its_own_replies():
    allowed = permissions.operator_permissions()
    assert allowed.publish == tuple(
        subject
        for bucket in ("desired-state", "device-info", "device-state", "device-heartbeat")
        for subject in (
            f"$JS.API.STREAM.CREATE.KV_{bucket}",
            f"$JS.API.STREAM.UPDATE.KV_{bucket}",
            f"$JS.API.STREAM.INFO.KV_{bucket}",
            f"$JS.API.STREAM.PURGE.KV_{bucket}",
            f"$JS.API.DIRECT.GET.KV_{bucket}.>",
            f"$JS.API.CONSUMER.CREATE.KV_{bucket}.>",
            f"$JS.FC.KV_{bucket}.>",
            f"$KV.{bucket}.>",
        )
    )
    assert allowed.subscribe == ("_INBOX_fleet_operator.>",)
