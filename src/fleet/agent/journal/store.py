"""The port: where the journal keeps files, one kind of file in one store."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from fleet.contracts.names import DeploymentName


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store holds by deployment, and what of it could not be read, in sentences."""

    content: Mapping[DeploymentName, bytes]
    complaints: tuple[str, ...] = ()


class Store(Protocol):
    """Where files are kept. One deployment's file is never touched for another's sake."""

    async def load(self) -> Loaded:
        """
        Read all of it.

        :raises errors.JournalUnavailable: nothing of it can be read.
        """

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        """
        Have *content* survive a power cut. Until it does, what stood there before stands.

        :raises errors.JournalUnavailable: it could not be written.
        """

    async def remove(self, deployment: DeploymentName) -> None:
        """
        Drop a file, which may be gone already.

        :raises errors.JournalUnavailable: it could not be removed.
        """

    async def set_aside(self, deployment: DeploymentName) -> str:
        """Take a file that can't be read out of the way, and tell where it is now."""


class MemoryStore:
    """A store that lasts as long as its process: for agents that have no disk of their own."""

    def __init__(self) -> None:
        self.content: dict[DeploymentName, bytes] = {}

    async def load(self) -> Loaded:
        """Read all of it."""
        return Loaded(dict(self.content))

    async def put(self, deployment: DeploymentName, content: bytes) -> None:
        """Keep *content*."""
        self.content[deployment] = content

    async def remove(self, deployment: DeploymentName) -> None:
        """Drop a file."""
        self.content.pop(deployment, None)

    async def set_aside(self, deployment: DeploymentName) -> str:
        """Drop a file that can't be read."""
        del self.content[deployment]
        return "nowhere"
