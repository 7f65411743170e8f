"""Aggregation: the table of standings, and counters that equal a count from scratch."""

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts.messages import Phase, StateError
from fleet.contracts.names import DeviceId
from fleet.operator.model import aggregation
from fleet.operator.model.aggregation import Failure, Judgement, Report, Standing, Tally
from tests.unit.operator.making import at, pair, report

REVISION = report().revision

judgements = st.one_of(
    st.none(),
    st.builds(Judgement, st.sampled_from([Standing.UNKNOWN, Standing.PENDING, Standing.RUNNING])),
    st.builds(
        Judgement,
        st.just(Standing.FAILED),
        st.builds(Failure, st.sampled_from(["A", "B"]), st.just(""), st.integers(0, 9).map(at)),
    ),
)
devices = st.integers(1, 15).map(lambda n: DeviceId(f"d{n:02}"))
moves = st.lists(st.tuples(devices, judgements), max_size=40)


@pytest.mark.parametrize(
    ("told", "silent", "standing"),
    [
        (report(Phase.RUNNING), True, Standing.UNKNOWN),
        (None, True, Standing.UNKNOWN),
        (None, False, Standing.PENDING),
        (report(Phase.RUNNING, image="web:0"), False, Standing.PENDING),
        (report(Phase.FAILED, image="web:0"), False, Standing.PENDING),
        (report(Phase.PENDING), False, Standing.PENDING),
        (report(Phase.RUNNING), False, Standing.RUNNING),
        (report(Phase.FAILED), False, Standing.FAILED),
    ],
)
def test_the_first_that_applies_counts(told: Report | None, silent: bool, standing: Standing):
    judged = aggregation.judge(told, silent=silent, revision=REVISION)
    assert judged.standing is standing
    assert (judged.failure is not None) is (standing is Standing.FAILED)


CLOCKS = [
    None,
    at(5),
    datetime(2099, 12, 31, tzinfo=UTC),
    datetime.max.replace(tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
]


@pytest.mark.parametrize("clock", CLOCKS, ids=str)
def test_a_failure_says_which_service_and_when_the_server_heard_of_it(clock: datetime | None):
    error = StateError(reason="PortInUse", message="80 is taken", service="web")
    told = report(Phase.FAILED, error=error, updated_at=clock, heard=at(7))
    judged = aggregation.judge(told, silent=False, revision=REVISION)
    assert judged.failure == Failure("PortInUse", "web: 80 is taken", at(7))


@pytest.mark.parametrize("clock", CLOCKS, ids=str)
def test_the_last_error_is_the_one_heard_last_whatever_a_devices_clock_says(
    clock: datetime | None,
):
    tally = Tally()
    for device, second, updated_at in (("d1", 1, clock), ("d2", 2, at(2)), ("d3", 0, clock)):
        told = report(Phase.FAILED, key=pair(device), updated_at=updated_at, heard=at(second))
        tally.count(DeviceId(device), aggregation.judge(told, silent=False, revision=REVISION))
    last = tally.aggregate().last_error
    assert last is not None
    assert (last[0], last[1].at) == ("d2", at(2))


def test_a_failure_without_reason_or_time_is_one_all_the_same():
    judged = aggregation.judge(report(Phase.FAILED), silent=False, revision=REVISION)
    assert judged.failure == Failure("Failed", "", report().at)


@given(moves)
def test_counters_equal_a_count_from_scratch(made: list[tuple[DeviceId, Judgement | None]]):
    tally, last = Tally(), dict[DeviceId, Judgement]()
    for device, judgement in made:
        tally.count(device, judgement)
        last.pop(device, None)
        if judgement is not None:
            last[device] = judgement
    sums = tally.aggregate()
    counts = Counter(str(judgement.standing) for judgement in last.values())
    assert {name: getattr(sums, name) for name in ("pending", "running", "failed", "unknown")} == {
        name: counts[name] for name in ("pending", "running", "failed", "unknown")
    }
    assert sums.matched == sums.pending + sums.running + sums.failed + sums.unknown == len(tally)
    failed = sorted(device for device, judgement in last.items() if judgement.failure)
    assert list(sums.failing) == failed[:10]
    times = [judgement.failure.at for judgement in last.values() if judgement.failure]
    assert (sums.last_error[1].at if sums.last_error else None) == max(times, default=None)


@given(moves)
def test_what_moves_nothing_says_so(made: list[tuple[DeviceId, Judgement | None]]):
    tally = Tally()
    for device, judgement in made:
        before = tally.aggregate()
        moved = tally.count(device, judgement)
        assert moved or tally.aggregate() == before
        assert not tally.count(device, judgement)


@pytest.mark.parametrize(
    ("counted", "outlook"),
    [
        ((), set()),
        ((Standing.RUNNING,), {Standing.RUNNING}),
        ((Standing.RUNNING, Standing.PENDING), {Standing.PENDING}),
        (
            (Standing.RUNNING, Standing.FAILED, Standing.UNKNOWN),
            {Standing.FAILED, Standing.UNKNOWN},
        ),
    ],
    ids=["nobody", "all run", "some run", "some fail, some are silent"],
)
def test_the_outlook_turns_with_the_conditions_and_not_with_counts(
    counted: tuple[Standing, ...], outlook: set[Standing]
):
    tally = Tally()
    for number, standing in enumerate(counted):
        for each in ("a", "b"):
            tally.count(DeviceId(f"{each}{number}"), Judgement(standing))
    assert tally.outlook() == outlook
    for number, _ in enumerate(counted):
        tally.count(DeviceId(f"b{number}"), None)
    assert tally.outlook() == outlook
