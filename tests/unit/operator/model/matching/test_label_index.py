"""The label index: nobody whom a selector matches is left out, and few others come along."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts.names import DeviceId
from fleet.operator.model.matching.label_index import LabelIndex
from fleet.operator.model.matching.selectors import Operator, Requirement, Selector

DEVICES = [DeviceId(f"d{number}") for number in range(4)]
labels = st.dictionaries(st.sampled_from(["site", "rack"]), st.sampled_from(["a", "b", "c"]))
values = st.frozensets(st.sampled_from(["a", "b", "c"]), min_size=1)
requirements = st.builds(
    Requirement, st.sampled_from(["site", "rack"]), st.sampled_from([*Operator]), values
)
selectors = st.builds(Selector, st.lists(requirements, max_size=3).map(tuple))


@given(st.lists(st.tuples(st.sampled_from(DEVICES), labels)), selectors)
def test_whoever_matches_is_a_candidate(
    changes: list[tuple[DeviceId, dict[str, str]]], selector: Selector
):
    index, known = LabelIndex(), {key: dict[str, str]() for key in DEVICES}
    for device, new in changes:
        index.relabel(device, known[device], new)
        known[device] = new
    candidates = index.candidates(selector)
    matched = {device for device in DEVICES if selector.matches(known[device])}
    assert candidates is None or matched <= set(candidates)
    exact = len(selector.requirements) == 1 and selector.requirements[0].operator is Operator.IN
    assert not exact or set(candidates or ()) == matched


def test_labels_that_nobody_has_any_more_leave_nothing_behind():
    index, selector = LabelIndex(), Selector((Requirement("site", Operator.IN, frozenset("a")),))
    index.relabel(DEVICES[0], {}, {"site": "a"})
    index.relabel(DEVICES[0], {"site": "a"}, {})
    assert not index.candidates(selector)
