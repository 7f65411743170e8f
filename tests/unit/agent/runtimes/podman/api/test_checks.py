"""Health checks that several wait for: the cancellation of one waiter is nobody else's."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.checks import Checks
from tests.waiting import eventually


class _Client:
    """A connection that is given up."""

    def abort(self) -> None:
        """Give it up."""


class _Response:
    status_code = 200
    text = ""

    def json(self) -> dict[str, Any]:
        return {"Status": "healthy", "Id": "id-web", "Config": {}}


class Podman:
    """Answers a check once it is allowed to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = threading.Event()
        self.bug: Exception | None = None
        self.hangs = False
        self.checks = Checks(self._request, _Client, self._call)  # type: ignore[arg-type] # fakes

    def _request(self, _: str, path: str, **__: Any) -> _Response:
        if not path.endswith("/healthcheck"):
            return _Response()
        self.asked += 1
        self.may_answer.wait(15)
        if self.bug:
            raise self.bug
        return _Response()

    async def _call(self, function: Callable[[], bool]) -> bool:
        if self.hangs:
            raise errors.RuntimeUnavailable("podman hangs")
        return function()

    async def is_asked(self) -> bool:
        """Tell whether a check is under way."""
        return self.asked > 0


async def test_a_waiter_that_is_cancelled_leaves_the_check_to_the_others():
    podman = Podman()
    first = asyncio.create_task(podman.checks.run("web", 10))
    second = asyncio.create_task(podman.checks.run("web", 10))
    await eventually(podman.is_asked, "podman is asked")
    first.cancel()
    await asyncio.wait({first})
    podman.may_answer.set()
    assert (await second).passed
    assert first.cancelled()
    assert podman.asked == 1


async def test_a_check_that_nobody_waits_for_any_more_is_given_up():
    podman = Podman()
    waiter = asyncio.create_task(podman.checks.run("web", 10))
    await eventually(podman.is_asked, "podman is asked")
    waiter.cancel()
    await asyncio.wait({waiter})
    again = asyncio.create_task(podman.checks.run("web", 10))
    podman.may_answer.set()
    assert (await again).passed
    assert podman.asked == 2


@pytest.mark.parametrize("turns", range(6))
async def test_who_comes_while_a_check_is_given_up_begins_another(turns: int):
    """The watch of a new run of a container comes at any moment of the end of the old one's."""
    podman = Podman()
    old = asyncio.create_task(podman.checks.run("web", 10))
    await eventually(podman.is_asked, "podman is asked")
    podman.may_answer.set()
    old.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    new = asyncio.create_task(podman.checks.run("web", 10))
    assert (await new).passed


async def test_a_container_that_runs_anew_is_not_told_of_by_a_check_of_before():
    podman = Podman()
    old = asyncio.create_task(podman.checks.run("web", 10))
    await eventually(podman.is_asked, "podman is asked")
    podman.checks.renew("web")
    new = asyncio.create_task(podman.checks.run("web", 10))
    podman.may_answer.set()
    assert (await new).passed
    assert (await old).passed
    assert podman.asked == 2


async def test_who_waits_for_a_podman_that_hangs_gives_no_later_one_an_old_check():
    podman = Podman()
    podman.hangs = True
    with pytest.raises(errors.RuntimeUnavailable):
        await podman.checks.run("web", 0.01)
    podman.hangs = False
    podman.may_answer.set()
    assert (await podman.checks.run("web", 10)).passed


async def test_a_cancellation_within_a_check_is_an_error_of_its_waiter_and_cancels_nobody():
    podman = Podman()
    podman.bug = asyncio.CancelledError()  # type: ignore[assignment] # a library's
    podman.may_answer.set()
    with pytest.raises(errors.InternalError):
        await podman.checks.run("web", 10)
