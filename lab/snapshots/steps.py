"""Steps: what is done to which part, one after the other, each told of and timed."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: *what* is done to *part*, in words for a person."""

    part: str
    what: str
    act: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Took:
    """How many seconds a step took."""

    part: str
    what: str
    seconds: float


def walk(
    steps: Iterable[Step],
    telling: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Took, ...]:
    """Do *steps* in order, up to the first that fails; *telling* hears of each before it begins."""
    took = []
    for step in steps:
        telling(f"{step.part}: {step.what}")
        begun = clock()
        step.act()
        took.append(Took(step.part, step.what, clock() - begun))
    return tuple(took)


def by_part(took: Iterable[Took]) -> dict[str, float]:
    """Sum up the seconds of each part, in the order of first mention."""
    summed: dict[str, float] = {}
    for each in took:
        summed[each.part] = summed.get(each.part, 0.0) + each.seconds
    return summed
