"""
Asks `host_paths` from asyncio, and waits for no file system that hangs.

A path on a network share whose server is gone holds the thread that looks at it, for as long as
it likes. The looks have a crew of their own, so that nothing else about podman waits for one; who
asks about a path that is being looked at shares that look, so that one path holds one thread.
"""

import asyncio
from typing import TypeAlias

from fleet import errors, threads
from fleet.agent.runtimes.podman.api import error_messages
from fleet.agent.runtimes.podman.host_paths import HostPaths
from fleet.contracts import scores

# A path, and whether the service may look into processes.
_Question: TypeAlias = tuple[str, bool]


class HostPathChecks:
    """Checks what services mount; a path has *within* seconds to answer."""

    def __init__(self, host_paths: HostPaths, *, within: float = 5.0, size: int = 32) -> None:
        self._host_paths = host_paths
        self._within = within
        self._crew = threads.Crew(size, "podman-host-paths")
        self._made: dict[str, scores.Service] = {}
        self._looks: dict[_Question, asyncio.Task[str]] = {}

    async def check(self, service: scores.Service) -> None:
        """
        Check every path that *service* mounts.

        :raises errors.HostPathForbidden: naming the path and what it reaches.
        :raises errors.HostPathUnavailable: the file system of a path doesn't answer.
        """
        if not self._host_paths.protected:
            return
        for volume in service.volumes:
            if not volume.host_path:
                continue
            refusal = await self._look(volume.host_path, service)
            if refusal:
                raise errors.HostPathForbidden(refusal, element=service.name)

    def made(self, container: str, service: scores.Service) -> None:
        """Note that *container* was made of *service*, which was checked."""
        self._made[container] = service

    async def check_again(self, container: str) -> None:
        """
        Check *container* before it starts: a symlink may lead elsewhere than when it was made.

        One that was made before the agent began may be older than the rule, and is left alone.

        :raises errors.FleetError: as `check`.
        """
        if container in self._made:
            await self.check(self._made[container])

    def forget(self, container: str) -> None:
        """Note that *container* is gone."""
        self._made.pop(container, None)

    async def _look(self, path: str, service: scores.Service) -> str:
        question = path, self._host_paths.sees_processes(service)
        if question not in self._looks:
            look = asyncio.create_task(self._ask(*question), name=f"look at {path}")
            self._looks[question] = look
            look.add_done_callback(lambda done: self._forget(question, done))
        try:
            async with asyncio.timeout(self._within):
                return await asyncio.shield(self._looks[question])
        except TimeoutError:
            what = f"hostPath {path} doesn't answer: it was looked at for {self._within:.0f} s"
            raise error_messages.unable(
                errors.HostPathUnavailable, what, element=service.name
            ) from None

    async def _ask(self, path: str, sees_processes: bool) -> str:
        return await self._crew.call(lambda: self._host_paths.refusal(path, sees_processes))

    def _forget(self, question: _Question, done: asyncio.Task[str]) -> None:
        del self._looks[question]
        if not done.cancelled():
            done.exception()  # whoever still waits is told it; nobody may be left to
