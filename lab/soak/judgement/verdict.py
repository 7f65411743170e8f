"""What was accepted, against what is found: pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

SHOWN = 5  # of many alike; enough to see what they have in common


@dataclass(frozen=True, slots=True)
class Written:
    """One write: the *number* that it carried, None for a delete marker, and its *revision*."""

    number: int | None
    revision: int


def problems(accepted: Mapping[str, Written], found: Mapping[str, Written]) -> tuple[str, ...]:
    """
    Name each key that doesn't hold the last write that was accepted for it.

    One that was tried again may stand there a second time: what was put is there all the same.
    """
    wrong = [*_wrong(accepted, found), *_unasked(accepted, found)]
    more = (f"and {len(wrong) - SHOWN} more like these",) if len(wrong) > SHOWN else ()
    return (*wrong[:SHOWN], *more)


def differences(view: Mapping[str, int], found: Mapping[str, Written]) -> tuple[str, ...]:
    """Name each key of which a reader's *view* isn't what is found."""
    there = {key: write.number for key, write in found.items() if write.number is not None}
    return tuple(
        f"{key}: the view has {view.get(key)}, the bucket {there.get(key)}"
        for key in sorted(view.keys() | there.keys())
        if view.get(key) != there.get(key)
    )


def _wrong(accepted: Mapping[str, Written], found: Mapping[str, Written]) -> Iterator[str]:
    for key, wanted in sorted(accepted.items()):
        there = found.get(key)
        if there is None:
            yield f"lost: {key} holds nothing; {_shown(wanted)} was accepted"
        elif there.revision < wanted.revision:
            yield f"lost: {key} holds {_shown(there)}; {_shown(wanted)} was accepted"
        elif there.number != wanted.number:
            yield f"overwritten: {key} holds {_shown(there)}; the last accepted is {_shown(wanted)}"


def _unasked(accepted: Mapping[str, Written], found: Mapping[str, Written]) -> Iterator[str]:
    for key in sorted(found.keys() - accepted.keys()):
        yield f"unasked: {key} holds {_shown(found[key])}; nothing was accepted"


def _shown(write: Written) -> str:
    number = "a marker" if write.number is None else f"number {write.number}"
    return f"{number} (revision {write.revision})"
