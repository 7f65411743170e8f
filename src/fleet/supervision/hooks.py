"""
Exceptions that reach no task: of callbacks, of threads, of destructors, of tasks nobody awaits.

Python prints them at best. Here they are recorded as failures of one part each.
"""

import asyncio
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType
from typing import Any, Final

import structlog

import fleet
from fleet import errors
from fleet.supervision.failures import Failures

log = structlog.get_logger()
CALLBACK: Final = "callback"
THREAD: Final = "thread"
DESTRUCTOR: Final = "destructor"
_OURS = str(Path(fleet.__file__).parent)


@contextmanager
def recorded(failures: Failures, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Record what escapes in *loop* and beside it, while the block runs."""

    def in_loop(part: str, key: str, error: BaseException) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(failures.failed, part, key, error)

    def of_callback(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if library := _abandoned_by_a_library(context):
            log.warning("a library abandoned a task", task=_name(context), code=library)
            return
        failures.failed(CALLBACK, _name(context), _error(context))

    def of_thread(args: threading.ExceptHookArgs) -> None:
        name = args.thread.name if args.thread is not None else ""
        in_loop(THREAD, name, args.exc_value or errors.InternalError("a thread ended"))

    def of_destructor(args: "sys.UnraisableHookArgs") -> None:
        in_loop(DESTRUCTOR, "", args.exc_value or errors.InternalError(str(args.err_msg)))

    before = loop.get_exception_handler(), threading.excepthook, sys.unraisablehook
    loop.set_exception_handler(of_callback)
    threading.excepthook, sys.unraisablehook = of_thread, of_destructor
    try:
        yield
    finally:
        loop.set_exception_handler(before[0])
        threading.excepthook, sys.unraisablehook = before[1:]


def _error(context: dict[str, Any]) -> BaseException:
    return context.get("exception") or errors.InternalError(str(context.get("message", "")))


def _abandoned_by_a_library(context: dict[str, Any]) -> str:
    """
    Name the code of a task that isn't ours and was destroyed while it waited; else "".

    Kopf lets such waits go when it ends a watch of a definition that is no longer there. No work
    is lost with one, and none is tried again.
    """
    task = context.get("task")
    if "exception" in context or not isinstance(task, asyncio.Task) or task.done():
        return ""
    codes = tuple(_awaiting(task.get_coro()))
    if not codes or any(code.co_filename.startswith(_OURS) for code in codes):
        return ""
    return f"{codes[0].co_qualname} in {codes[0].co_filename}"


def _awaiting(awaited: object) -> Iterator[CodeType]:
    """Yield the code of a coroutine, and of those that it waits for within its task."""
    while (code := getattr(awaited, "cr_code", None)) is not None:
        yield code
        awaited = getattr(awaited, "cr_await", None)


def _name(context: dict[str, Any]) -> str:
    """Name the task, where it was one; callbacks have no names worth keeping."""
    task = context.get("task") or context.get("future")
    return task.get_name() if isinstance(task, asyncio.Task) else ""
