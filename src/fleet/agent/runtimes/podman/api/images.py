"""
Images by podman's API: looking, pulling, removing.

A failed pull is a stream that began with 200 and ends in an ``error`` line (podman 4.3.1).
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar
from urllib.parse import quote

import structlog

from fleet import errors, threads
from fleet.agent.runtimes.podman.api import answers, error_messages, registry_auth, translation
from fleet.agent.runtimes.podman.api.client import Request, SocketClient
from fleet.agent.runtimes.port import Fetched, Image, Transfer
from fleet.agent.settings import Registry
from fleet.contracts import scores

T = TypeVar("T")

log = structlog.get_logger(__name__)

# A layer that trickles in says nothing until it is there.
_PULL_SILENCE_SECONDS = 1800.0
# What podman says before a registry has said anything.
_ASKING = ("Trying to pull", "Resolving", "Resolved")


class Call(Protocol):
    """Run what blocks in a thread."""

    async def __call__(self, function: Callable[[], T]) -> T:
        """Wait for *function*."""


class PodmanImages:
    """
    The images of a podman. *connect* makes a connection of its own for each transfer.

    At most *pulls* transfers run at once. *registries* maps prefixes of images to who we are there.
    """

    def __init__(
        self,
        request: Request,
        connect: Callable[[], SocketClient],
        call: Call,
        *,
        pulls: int,
        registries: Mapping[str, Registry],
    ) -> None:
        self._request = request
        self._connect = connect
        self._call = call
        self._slots = asyncio.Semaphore(pulls)
        self._registries = registries
        self._digests: dict[str, str] = {}
        self._transfers: dict[str, Transfer] = {}

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        """Have *image* on the device as *policy* says; `Runtime.fetch`."""
        if policy is not scores.PullPolicy.ALWAYS and await self._call(lambda: self._has(image)):
            return None
        if policy is scores.PullPolicy.NEVER:
            raise error_messages.absent(image)
        async with self._slots:
            before = {each.id for each in await self.list()}
            await self._pull(image)
        image_id = await self.find_id(image)
        brought = next((each for each in await self.list() if each.id == image_id), None)
        return Fetched(brought, brought.id not in before) if brought else None

    def transfer(self, image: str) -> Transfer | None:
        """Tell how the transfer of *image* goes; `Runtime.transfer`."""
        return self._transfers.get(image)

    async def list(self) -> tuple[Image, ...]:
        """List all images on the device."""
        return await self._call(self._list)

    async def find_id(self, reference: str) -> str:
        """Look up the id of the image that *reference* names; "" where there is none."""
        return await self._call(lambda: self._find_id(reference))

    async def remove(self, image: Image) -> None:
        """Remove an image with its names; one that a container uses stays."""
        await self._call(lambda: self._remove(image))

    async def _pull(self, image: str) -> None:
        client = self._connect()
        transfer = self._transfers[image] = Transfer(asyncio.get_running_loop().time())
        try:
            await threads.call(lambda: self._transfer(image, client, transfer), name="podman-pull")
        finally:
            client.abort()
            if self._transfers.get(image) is transfer:
                del self._transfers[image]

    # What follows blocks, and runs in a thread.

    def _has(self, image: str) -> bool:
        """
        Tell whether *image* is there.

        :raises errors.InvalidImage: podman redirects the question: that names none.
        """
        response = self._request("GET", f"/images/{quote(image, safe='/:@')}/exists")
        if answers.is_redirect(response):
            raise error_messages.no_reference(image)
        return bool(response.status_code < answers.REDIRECT)

    def _list(self) -> tuple[Image, ...]:
        listing = answers.rows(self._request("GET", "/images/json"))
        found = (translation.image(row) for row in listing)
        return tuple(each for each in found if each is not None)

    def _find_id(self, reference: str) -> str:
        response = self._request("GET", f"/images/{quote(reference, safe='/:@')}/json")
        if answers.is_missing(response):
            return ""
        return str(answers.content(response)["Id"])

    def _remove(self, image: Image) -> None:
        """
        Take all its names off but one, and then remove it by its id, if no container uses it.

        A name that passed to another image meanwhile is that one's: it stays.
        """
        others = [name for name in sorted(image.names)[1:] if self._find_id(name) == image.id]
        for name in (*others, image.id):
            response = self._request("DELETE", f"/images/{quote(name, safe='/:@')}")
            if answers.is_refusal(response):
                raise errors.ContainerFailed(answers.complaint(response), element=image.id)

    def digest(self, image_id: str) -> str:
        """Look the digest of an image up, once; "" where podman doesn't say it."""
        if image_id and image_id not in self._digests:
            response = self._request("GET", f"/images/{image_id}/json")
            found = translation.digest(answers.lenient(response))
            if not found:
                return ""
            self._digests[image_id] = found
        return self._digests.get(image_id, "")

    def _transfer(self, image: str, client: SocketClient, transfer: Transfer) -> None:
        log.info("pulling", image=image)
        registry = registry_auth.of_image(image, self._registries)
        response = self._request(
            "POST",
            "/images/pull",
            params={"reference": image, "policy": "always", **registry_auth.parameters(registry)},
            headers=registry_auth.headers(image, registry),
            stream=True,
            timeout=_PULL_SILENCE_SECONDS,
            client=client,
        )
        if response.status_code >= answers.CLIENT_ERROR:
            raise error_messages.of_pull(answers.complaint(response), element=image)
        complaint = ""
        try:
            for line in client.lines(response):
                complaint = str(line.get("error") or complaint)
                asks = str(line.get("stream") or "").startswith(_ASKING)
                transfer.is_answered = transfer.is_answered or not asks
        except errors.RuntimeUnavailable as exc:
            if not self._has(image):  # or podman is gone, and says so here
                raise error_messages.broken_off(image, str(exc)) from exc
        if complaint:
            raise error_messages.of_pull(complaint, element=image)
        if not self._has(image):
            raise error_messages.broken_off(image, "podman said no more")
