"""Exceptions that reach no task are recorded, too."""

import asyncio
import gc
import threading
from collections.abc import Coroutine
from typing import Any

from fleet.supervision import hooks, program
from tests.unit.supervision.recording import recorder
from tests.waiting import eventually


async def test_what_escapes_from_a_callback_a_task_a_thread_or_a_destructor_is_recorded():
    failures, watcher = recorder()

    async def forgotten() -> None:
        raise LookupError

    class Destroyed:
        def __del__(self) -> None:
            raise KeyError

    async def are_recorded() -> bool:
        return len(watcher.failures) == 4

    loop = asyncio.get_running_loop()
    with hooks.recorded(failures, loop):
        loop.call_soon(int, float("inf"))
        task = asyncio.create_task(forgotten(), name="forgotten")
        await asyncio.wait({task})
        del task
        threading.Thread(target=lambda: 1 // 0, name="worker").start()
        made = Destroyed()
        del made
        gc.collect()
        await eventually(are_recorded, "all four are recorded")
    assert {(f.part, f.key) for f in watcher.failures} == {
        ("callback", ""), ("callback", "forgotten"), ("thread", "worker"), ("destructor", ""),
    }  # fmt: skip


async def test_a_wait_that_a_library_abandons_is_no_failure_and_one_of_ours_is():
    failures, watcher = recorder()
    loop = asyncio.get_running_loop()

    def abandoned(waiting: Coroutine[Any, Any, Any]) -> dict[str, Any]:
        return {
            "message": "Task was destroyed but it is pending!",
            "task": loop.create_task(waiting),
        }

    async def awaits(waiting: Coroutine[Any, Any, Any]) -> None:
        await waiting

    theirs = abandoned(asyncio.Event().wait())
    ours_in_theirs = abandoned(awaits(program.until(asyncio.Event(), asyncio.sleep(60))))
    ours = abandoned(program.until(asyncio.Event(), asyncio.sleep(60)))
    await asyncio.sleep(0)
    with hooks.recorded(failures, loop):
        loop.call_exception_handler(theirs)
        assert watcher.failures == []
        loop.call_exception_handler(ours)
        loop.call_exception_handler(ours_in_theirs)

    assert [failure.part for failure in watcher.failures] == ["callback", "callback"]
    for each in (theirs, ours, ours_in_theirs):
        each["task"].cancel()
        await asyncio.wait({each["task"]})
