"""
Which exceptions may be contained, and how shared work is waited for.

Cancellation belongs to the task that it was asked of. So a `CancelledError` is passed on where
somebody cancelled the running task, and is a failure like any other where nobody did: a library
raised it, or work that was shared with others was cancelled.
"""

import asyncio
from typing import Any, TypeVar

from fleet import errors

T = TypeVar("T")

MESSAGE_LENGTH = 300


def must_end(error: BaseException) -> bool:
    """
    Tell whether *error* has to be raised again: nobody may contain it.

    That is the cancellation of the running task, KeyboardInterrupt, and the GeneratorExit of
    a generator that is closed. A library's SystemExit is contained: it may not end the process
    with a status of its own.
    """
    match error:
        case asyncio.CancelledError():
            return is_cancelled()
        case KeyboardInterrupt() | GeneratorExit():
            return True
        case BaseExceptionGroup(exceptions=members):
            return any(must_end(member) for member in members)
        case _:
            return False


def is_cancelled() -> bool:
    """Tell whether somebody asked the running task to end."""
    return cancellations(running_task()) > 0


def running_task() -> "asyncio.Task[Any] | None":
    """Return the running task; None where no loop runs, as in a generator that is collected."""
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


def cancellations(task: "asyncio.Task[Any] | None") -> int:
    """Count how often *task* was asked to end, less what was taken back."""
    return 0 if task is None else task.cancelling()


async def shared(task: "asyncio.Task[T]") -> T:
    """
    Wait for *task*, for which others may wait too.

    The waiter's cancellation leaves it running. Its own is no cancellation of the waiter.

    :raises errors.InternalError: it was cancelled.
    """
    await asyncio.wait({task})
    return result(task)


def result(task: "asyncio.Task[T]") -> T:
    """
    Give what became of *task*, which has ended. Its cancellation is none of who asks.

    :raises errors.InternalError: it was cancelled.
    """
    if task.cancelled():
        raise errors.InternalError(f"{task.get_name()} was cancelled", element=task.get_name())
    return task.result()


def reason(error: BaseException) -> str:
    """Name *error* in one word."""
    return error.reason if isinstance(error, errors.FleetError) else type(error).__name__


def sentence(error: BaseException) -> str:
    """Say what *error* is and where it was raised, in one short line. Never raises."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return sentence(error.exceptions[0])
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - its own __str__ has a bug, too
        text = "(no message)"
    if not isinstance(error, errors.FleetError):
        text = f"{type(error).__name__}: {text} ({place(error)})"
    text = " ".join(text.split())
    return text if len(text) <= MESSAGE_LENGTH else f"{text[: MESSAGE_LENGTH - 1]}…"


def place(error: BaseException) -> str:
    """Give the module and line that raised *error*."""
    found = error.__traceback__
    if found is None:
        return "nowhere"
    while found.tb_next is not None:
        found = found.tb_next
    return f"{found.tb_frame.f_globals.get('__name__', '?')}:{found.tb_lineno}"
