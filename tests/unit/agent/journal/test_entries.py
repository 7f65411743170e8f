"""`entries`: what is read back is what was written, or nothing."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fleet import errors
from fleet.agent.journal import entries
from fleet.agent.model import intents
from fleet.contracts import messages
from fleet.contracts.names import DeploymentName, DeviceId
from tests.agent_device import podman_score

DEVICE, WEB = DeviceId("dev-01"), DeploymentName("web")
GOOD = podman_score({"name": "a", "image": "app:1"})
BETTER = podman_score({"name": "a", "image": "app:2", "env": {"NAME": "Zoë"}})
FOREIGN = messages.ReconcileScore(type="WasmV9", data={"modules": []}, revision="f00")

good = intents.read(WEB, GOOD, None)
INTENTS = [
    good,
    intents.read(WEB, BETTER, None),
    intents.read(WEB, FOREIGN, good),
    intents.read(WEB, FOREIGN, None),
    intents.undecodable("not JSON", good),
    intents.undecodable("not JSON", None),
    intents.undecodable("", None),
    intents.Withdraw(),
]


def written(intent: intents.Intent) -> bytes:
    """The file of an intent."""
    entry = entries.of(DEVICE, WEB, intent)
    assert entry is not None
    return entries.encode(entry)


@pytest.mark.parametrize("intent", INTENTS)
def test_a_restart_goes_on_as_before(intent: intents.Intent):
    assert entries.intent(entries.decode(WEB, written(intent))) == intent


def test_of_a_bad_value_and_the_good_one_before_it_both_are_kept():
    refused = intents.read(WEB, FOREIGN, intents.read(WEB, GOOD, None))
    entry = entries.decode(WEB, written(refused))
    assert (entry.desired, entry.kept) == (FOREIGN, GOOD)


def test_what_the_hub_never_spoke_of_is_not_written():
    assert entries.of(DEVICE, WEB, intents.Keep()) is None


@given(st.sampled_from(INTENTS), st.data())
def test_a_file_that_was_cut_off_says_nothing(intent: intents.Intent, data: st.DataObject):
    whole = written(intent)
    length = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(errors.DamagedJournal):
        entries.decode(WEB, whole[:length])


@given(st.sampled_from(INTENTS), st.data())
def test_a_file_in_which_a_byte_changed_says_nothing(intent: intents.Intent, data: st.DataObject):
    whole = bytearray(written(intent))
    place = data.draw(st.integers(0, len(whole) - 1))
    byte = data.draw(st.integers(0, 255))
    assume(whole[place] != byte)
    whole[place] = byte
    with pytest.raises(errors.DamagedJournal):
        entries.decode(WEB, bytes(whole))


@given(st.binary())
def test_random_bytes_say_nothing(garbage: bytes):
    with pytest.raises(errors.DamagedJournal):
        entries.decode(WEB, garbage)


def test_the_file_of_another_deployment_says_nothing():
    with pytest.raises(errors.DamagedJournal, match="about web"):
        entries.decode(DeploymentName("other"), written(INTENTS[0]))


def test_the_file_of_a_device_of_another_id_says_which():
    assert entries.decode(WEB, written(INTENTS[0])).device_id == DEVICE


def test_another_format_says_nothing():
    with pytest.raises(errors.DamagedJournal, match="format"):
        entries.decode(WEB, written(INTENTS[0]).replace(b"journal 1", b"journal 2"))
