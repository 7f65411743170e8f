"""Exceptions that reach no task are recorded, too."""

import asyncio
import gc
import threading

from fleet.supervision import hooks
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
