"""
Health checks by podman, each with an end.

podman runs a check when it is asked to, and answers when that has ended. Seen
on 4.3.1: a check that doesn't end is never answered, hanging up ends nothing,
and the check runs on in the container. So at its timeout

* the process is killed, where the agent may do that (it runs on the same host,
  as root or as the same user);
* otherwise the question stays open, and no second process is begun on top of
  the first. It ends with the container, which is restarted when it is unhealthy.

A podman that hangs, and one that was replaced meanwhile, don't answer either.
That says nothing of the service: podman lists what runs in a container (its
exec sessions), and where it lists nothing, no check failed.

A check whose program isn't there fails without a word, and leaves a record of itself (an exec
session) in the container each time. So the program is looked for before the first check, and
again once one failed without a word.

podman remembers how checks went, and shows it in ``podman ps``.
"""

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from fleet import errors, threads
from fleet.agent.runtimes.podman.api import answers, programs
from fleet.agent.runtimes.podman.api.client import Request, SocketClient
from fleet.agent.runtimes.port import Result
from fleet.supervision import containment

_HEALTHY = "healthy"
_ANSWER_SECONDS = 2.0
# podman's own words, once a check has ended that took longer than it was to.
_TOO_LONG = "exceeded timeout"


class Checks:
    """The checks under way, by container. *connect* makes a connection, *call* runs in a thread."""

    def __init__(
        self,
        request: Request,
        connect: Callable[[], SocketClient],
        call: Callable[[Callable[[], bool]], Awaitable[bool]],
    ) -> None:
        self._request = request
        self._connect = connect
        self._call = call
        self._open: dict[str, asyncio.Task[Result]] = {}
        self._able: set[str] = set()  # whose program was there
        self._waiting: Counter[asyncio.Task[Result]] = Counter()

    def renew(self, container: str) -> None:
        """Take note that *container* runs anew: a check of before says nothing of it."""
        self._able.discard(container)
        self._open.pop(container, None)  # whoever waits for it ends it

    async def run(self, container: str, within: float) -> Result:
        """Run the check of *container*, or wait on for the one that runs still."""
        check = self._begin(container)
        self._waiting[check] += 1
        try:
            return await self._result(container, check, within)
        except asyncio.CancelledError:
            if self._waiting[check] == 1:  # otherwise it is somebody else's too
                self._give_up(container, check)
            raise
        finally:
            self._waiting[check] -= 1
            self._waiting = +self._waiting

    def _begin(self, container: str) -> "asyncio.Task[Result]":
        check = self._open.get(container)
        if check is None or check.done() or check.cancelling():
            name = f"check of {container}"
            check = self._open[container] = asyncio.create_task(self._ask(container), name=name)
            check.add_done_callback(_retrieve)
        return check

    async def _result(self, container: str, check: "asyncio.Task[Result]", within: float) -> Result:
        done, _ = await asyncio.wait({check}, timeout=within)
        if done:
            return await containment.shared(check)
        if await self._runs_still(container, check):
            return Result(passed=False, output=f"it did not end within {within:g} s")
        # It has ended by now, and the answer is on its way; or the connection is dead.
        done, _ = await asyncio.wait({check}, timeout=_ANSWER_SECONDS)
        if done:
            return await containment.shared(check)
        self._give_up(container, check)
        raise errors.RuntimeUnavailable("podman did not tell how a check went", element=container)

    async def _runs_still(self, container: str, check: "asyncio.Task[Result]") -> bool:
        """Tell whether the check runs, and end it, if that can be done."""
        try:
            return await self._call(lambda: self._end(container))
        except errors.RuntimeUnavailable:
            # It is podman that hangs. What it was asked, it may never answer.
            self._give_up(container, check)
            raise

    def _give_up(self, container: str, check: "asyncio.Task[Result]") -> None:
        """End a check, which takes a moment: whoever comes from now on begins another."""
        check.cancel()
        if self._open.get(container) is check:
            del self._open[container]

    async def _ask(self, container: str) -> Result:
        client = self._connect()
        try:
            return await threads.call(lambda: self._probe(container, client), name="podman-check")
        finally:
            client.abort()

    # What follows blocks, and runs in a thread.

    def _probe(self, container: str, client: SocketClient) -> Result:
        if container not in self._able and (missing := self._missing(container)):
            return Result(passed=False, output=missing)
        path = f"/containers/{container}/healthcheck"
        response = self._request("GET", path, client=client, timeout=None)
        if response.status_code < answers.CLIENT_ERROR:
            passed = response.json().get("Status") == _HEALTHY
            return Result(passed, "" if passed else self._output(container))
        if _TOO_LONG in response.text:
            return Result(passed=False, output="it took too long")
        raise errors.ContainerFailed(response.text, element=container)

    def _output(self, container: str) -> str:
        """Read what the last check printed."""
        log = (self._inspect(container)["State"].get("Health") or {}).get("Log") or []
        output = str(log[-1].get("Output", "")) if log else ""
        if not output:
            self._able.discard(container)
        return output

    def _missing(self, container: str) -> str:
        """Say that the program of the check isn't there; "" where it is, or where nobody knows."""
        details = self._inspect(container)
        program, places = programs.of_check(details["Config"])
        path = f"/containers/{details['Id']}/archive"
        if places and all(
            self._request("HEAD", path, params={"path": place}).status_code == answers.NOT_FOUND
            for place in places
        ):
            return f"{program} is not in the container; correct healthcheck.command, or the image"
        self._able.add(container)
        return ""

    def _end(self, container: str) -> bool:
        """Kill the process of the check, if that is ours to do; False if none is running."""
        details = self._inspect(container)
        if not details.get("ExecIDs"):
            return False
        _, *command = (details["Config"].get("Healthcheck") or {}).get("Test") or [""]
        path = f"/containers/{details['Id']}/top"
        top = self._request("GET", path, params={"ps_args": "hpid,args"})
        if top.status_code < answers.CLIENT_ERROR:
            for pid, arguments in top.json()["Processes"]:
                if arguments == " ".join(command):
                    _kill(int(pid), str(details["Id"]))
        return True

    def _inspect(self, container: str) -> Any:
        response = self._request("GET", f"/containers/{container}/json")
        if response.status_code >= answers.CLIENT_ERROR:
            raise errors.ContainerFailed(response.text, element=container)
        return response.json()


def _kill(pid: int, container_id: str) -> None:
    """Kill a process of a container; one that isn't, or that isn't ours, is left alone."""
    with contextlib.suppress(OSError):
        process = os.pidfd_open(pid)
        try:
            if container_id in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        finally:
            os.close(process)


def _retrieve(check: "asyncio.Task[Result]") -> None:
    """Take note of an error that nobody waits for any more."""
    if not check.cancelled():
        check.exception()
