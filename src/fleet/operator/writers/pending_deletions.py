"""
Who waits for the end of a resource that is being deleted, and is told when it may end.

kopf asks, and asks again after a restart; what decides is `fleet.operator.decisions.finalizers`.
"""

import asyncio


class PendingDeletions:
    """The resources, by uid, whose finalizer somebody waits to release."""

    def __init__(self) -> None:
        self._granted: dict[str, asyncio.Event] = {}

    def awaited(self) -> tuple[str, ...]:
        """List the resources that wait still."""
        return tuple(uid for uid, granted in self._granted.items() if not granted.is_set())

    def is_awaited(self, uid: str) -> bool:
        """Tell whether somebody waits for the end of a resource."""
        granted = self._granted.get(uid)
        return granted is not None and not granted.is_set()

    async def wait(self, uid: str) -> None:
        """Wait until a resource may end."""
        granted = self._granted.setdefault(uid, asyncio.Event())
        try:
            await granted.wait()
        finally:
            self._granted.pop(uid, None)

    def grant(self, uid: str) -> None:
        """Let a resource end."""
        if granted := self._granted.get(uid):
            granted.set()
