"""The pulse: it beats while the loop turns, and its age says for how long it hasn't."""

import asyncio

from fleet.supervision.pulse import Pulse
from tests import virtual_time


def test_the_age_is_nothing_while_it_beats_and_grows_once_it_does_not():
    async def scenario() -> None:
        loop, beats = asyncio.get_running_loop(), list[float]()
        pulse = Pulse(loop.time, [lambda: beats.append(loop.time())], every=2.0)
        task = asyncio.create_task(pulse.run())
        await asyncio.sleep(9)
        assert pulse.age == 0
        assert [round(beat) for beat in beats] == [0, 2, 4, 6, 8]
        task.cancel()
        await asyncio.sleep(30)
        assert 28 < pulse.age < 30

    virtual_time.run(scenario())


def test_a_loop_that_is_blocked_has_an_age():
    now = 0.0
    pulse = Pulse(lambda: now, every=1.0)
    now = 31.0
    assert pulse.age == 30.0
