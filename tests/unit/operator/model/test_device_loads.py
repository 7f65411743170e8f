"""The loads of devices: counters that equal a count from scratch, and say when one moved."""

from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts.names import DeviceId
from fleet.operator.model.aggregation import Standing
from fleet.operator.model.device_loads import DeviceLoads

D1, D2 = DeviceId("d1"), DeviceId("d2")
standings = st.none() | st.sampled_from(Standing)
moves = st.lists(st.tuples(st.sampled_from([D1, D2]), st.integers(1, 3), standings), max_size=30)


@given(moves)
def test_the_counters_equal_a_count_from_scratch(
    made: list[tuple[DeviceId, int, Standing | None]],
):
    loads, counted = DeviceLoads(), dict[tuple[DeviceId, int], Standing]()
    for device, number, standing in made:
        shown = loads.shown(device)
        moved = loads.count(device, counted.pop((device, number), None), standing)
        if standing is not None:
            counted[device, number] = standing
        assert moved is (loads.shown(device) != shown)
    for device in (D1, D2):
        matched = [s for (each, _), s in counted.items() if each == device]
        assert loads.shown(device) == f"{matched.count(Standing.RUNNING)}/{len(matched)}"
