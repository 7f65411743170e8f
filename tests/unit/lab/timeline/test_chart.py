"""`lab.timeline.chart`: all bars fit on the axis, and its times are round."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.timeline import chart
from lab.timeline.chart import Axis, Bar, Group, Mark, Row

times = st.floats(min_value=0, max_value=2e9, allow_nan=False)


def axis_of(*spans: tuple[float, float]) -> Axis:
    """The axis of bars from and to."""
    bars = tuple(Bar("b", begun, ended, Mark.DONE) for begun, ended in spans)
    return Axis.of([Group("g", (Row("r", bars),))])


@given(st.lists(st.tuples(times, st.floats(0, 1e5)), min_size=1, max_size=5))
def test_every_bar_is_on_the_axis(spans: list[tuple[float, float]]):
    axis = axis_of(*((begun, begun + seconds) for begun, seconds in spans))

    for begun, seconds in spans:
        left, width = axis.place(Bar("b", begun, begun + seconds, Mark.DONE))
        assert left >= 0
        assert width >= 0
        assert left + width <= 100.01


@given(st.floats(min_value=0, max_value=1e6))
def test_there_are_few_ticks_and_the_first_is_at_the_begin(seconds: float):
    ticks = axis_of((5, 5 + seconds)).ticks()

    assert ticks[0] == (0, "0 s")
    assert len(ticks) <= 13
    assert [at for at, _ in ticks] == sorted(at for at, _ in ticks)
    assert ticks[-1][0] <= 100


def test_no_bars_are_an_axis_too():
    assert axis_of().ticks() == ((0, "0 s"),)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (0.44, "0.4 s"), (3, "3 s"), (42.4, "42 s"), (59.6, "1 min"), (60, "1 min"),
     (185, "3 min 5 s"), (3600, "60 min")],
)  # fmt: skip
def test_times_are_spoken(seconds: float, words: str):
    assert chart.spoken(seconds) == words


def test_a_bar_that_ends_before_it_begins_has_no_width():
    assert Bar("b", 5, 4, Mark.DONE).seconds == 0
