"""
Numbers among the options of invoke tasks: what is none is refused in words, with status 2.

invoke itself ends with a traceback there. `strict` mends that for every task of a collection.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit
from invoke.parser.argument import Argument
from invoke.tasks import Task

WRONG_OPTION = 2
_MEANT = {int: "a whole number", float: "a number"}


class _Number(Argument):
    """An option that takes a number."""

    def set_value(self, value: Any, cast: bool = True) -> None:
        """Take what was typed, or end the command with what is wrong."""
        try:
            super().set_value(value, cast=cast)
        except (ValueError, OverflowError):
            self._refuse(value)
        if not 0 <= self.value < math.inf:
            self._refuse(value)

    def _refuse(self, value: Any) -> None:
        meant = _MEANT[self.kind]
        message = f"failed: --{self.names[0]} {value!r}: it takes {meant}, 0 or more"
        raise Exit(message, code=WRONG_OPTION)


def strict(collection: Collection) -> Collection:
    """Have every task of *collection* refuse, in words, numbers that are none."""
    for task in tasks_of(collection):
        task.get_arguments = _arguments(task.get_arguments)  # type: ignore[method-assign]  # invoke's one way in
    return collection


def tasks_of(collection: Collection) -> Iterator["Task[Any]"]:
    """List the tasks of *collection* and of all in it."""
    yield from collection.tasks.values()
    for inner in collection.collections.values():
        yield from tasks_of(inner)


def _arguments(listed: Callable[..., list[Argument]]) -> Callable[..., list[Argument]]:
    def arguments(*given: Any, **more: Any) -> list[Argument]:
        return [_checked(each) for each in listed(*given, **more)]

    return arguments


def _checked(argument: Argument) -> Argument:
    if argument.kind not in _MEANT:
        return argument
    return _Number(
        names=argument.names,
        kind=argument.kind,
        default=argument.default,
        help=argument.help,
        positional=argument.positional,
        optional=argument.optional,
        incrementable=argument.incrementable,
        attr_name=argument.attr_name,
    )
