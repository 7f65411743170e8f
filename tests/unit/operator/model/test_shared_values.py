"""What thousands of keys share is one object, and no table of such objects grows for ever."""

from datetime import UTC, datetime

import pytest

from fleet import errors
from fleet.contracts import kv, messages
from fleet.contracts.messages import DeploymentState, Phase
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.operator.model import shared_values
from fleet.operator.model.aggregation import Report
from fleet.operator.model.matching.index import Names
from tests.unit.operator import making
from tests.unit.operator.making import pair

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_equal_values_of_many_keys_are_decoded_once_and_equal_what_each_would_be():
    codec, value = shared_values.desired_state(), making.score()
    data = messages.DESIRED_STATE.encode(value)
    keys = [kv.desired_state_key(*pair(f"d{number}")) for number in range(100)]
    found = [codec.decode(key, bytes(bytearray(data))) for key in keys]
    assert all(each is found[0] for each in found)
    assert found[0] == messages.DESIRED_STATE.decode(keys[0], data)
    other = codec.decode(keys[0], messages.DESIRED_STATE.encode(making.score("web:2")))
    assert other is not found[0]


@pytest.mark.parametrize(
    ("key", "data"), [("d1.web.x", making.score()), ("d1.web", None)], ids=["key", "value"]
)
def test_what_does_not_decode_is_refused_also_where_equal_bytes_did(
    key: str, data: messages.ReconcileScore | None
):
    codec = shared_values.desired_state()
    encoded = b"{" if data is None else codec.encode(data)
    codec.decode("d1.web", codec.encode(making.score()))
    with pytest.raises(errors.UndecodableValue):
        codec.decode(key, encoded)


def test_values_without_end_are_forgotten():
    codec = shared_values.desired_state()
    assert isinstance(codec, shared_values.SharingCodec)
    for number in range(shared_values.MOST_KEPT + 10):
        codec.decode("d1.web", codec.encode(making.score(f"web:{number}")))
    assert len(codec.kept) <= shared_values.MOST_KEPT


def test_names_of_many_keys_are_one_object():
    names = Names(most=10)
    first = names.pair(DeviceId("d1"), DeploymentName("web"))
    again = names.pair(DeviceId("d" + str(1)), DeploymentName("we" + "b"[:1]))
    assert again == first
    assert again.device is first.device
    assert again.deployment is first.deployment
    for number in range(100):
        assert names.device(DeviceId(f"n{number}")) == f"n{number}"
    assert names.pair(*first) == first


def test_a_report_keeps_nothing_of_services_and_one_revision_for_all():
    revision = "ab" * 32
    reports = [
        Report.of(
            DeploymentState(
                device_id=DeviceId(f"d{number}"),
                deployment=DeploymentName("web"),
                phase=Phase.RUNNING,
                revision="".join([*revision]),
                services=(messages.ServiceState(name="web"),),
            ),
            NOW,
        )
        for number in range(2)
    ]
    assert reports[0].revision is reports[1].revision
    assert not hasattr(reports[0], "services")
