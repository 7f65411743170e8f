"""Amounts of memory and of CPU time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.contracts import quantities

NUMBERS = st.integers(min_value=1, max_value=999_999)
POWERS = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "k": 1000, "M": 1000**2, "G": 1000**3}


@given(NUMBERS, st.sampled_from(sorted(POWERS)))
def test_memory_is_its_number_times_its_unit(number: int, unit: str):
    assert quantities.memory_bytes(f"{number}{unit}") == number * POWERS[unit]


@given(NUMBERS)
def test_a_thousand_thousandths_are_one_cpu(number: int):
    assert quantities.thousandths_of_cpu(str(number)) == number * 1000
    assert quantities.thousandths_of_cpu(f"{number + 9}m") == number + 9


@pytest.mark.parametrize(
    "text", ["", "128", "128m", "128MB", "1.5Gi", "-1Mi", "0Mi", "1Mi\n", "Mi"]
)
def test_memory_without_a_unit_that_there_is_is_refused_with_those_that_there_are(text: str):
    with pytest.raises(ValueError, match="Ki, Mi, Gi, k, M or G"):
        quantities.memory_bytes(text)


@pytest.mark.parametrize(
    "text", ["", "0.5", "500M", "0", "0m", "1m", "9m", "-1", "10m\n", "m", "half"]
)
def test_cpu_time_of_another_form_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match="such as 500m"):
        quantities.thousandths_of_cpu(text)
