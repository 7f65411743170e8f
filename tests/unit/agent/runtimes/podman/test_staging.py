"""`staging`: how many images are brought at once, and how soon again."""

import asyncio
from collections.abc import Awaitable, Callable

from fleet import errors
from fleet.agent.runtimes.podman.staging import Staging
from fleet.agent.runtimes.port import Fetched
from fleet.contracts import scores
from tests import virtual_time
from tests.unit.agent.world import FakeRuntime, workload


class Registry:
    """Images that take ten seconds, or fail at once with *error*."""

    def __init__(self, error: errors.FleetError | None = None) -> None:
        self.error = error
        self.asked: list[float] = []
        self.at_once = self.most_at_once = 0

    async def fetch(self, image: str, policy: scores.PullPolicy) -> Fetched | None:
        del image, policy
        self.asked.append(asyncio.get_running_loop().time())
        if self.error:
            raise self.error
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(10)
        self.at_once -= 1
        return None


def play(registry: Registry, scenario: Callable[[Staging], Awaitable[None]]) -> None:
    """Run *scenario*."""

    async def stage() -> None:
        staging = Staging(FakeRuntime(), registry.fetch, lambda: None, lambda: 0.5)
        await scenario(staging)
        await staging.close()

    virtual_time.run(stage())


def test_a_deployment_brings_two_images_at_a_time():
    registry = Registry()

    async def scenario(staging: Staging) -> None:
        staging.want([workload(name, image=f"{name}:1") for name in "abcde"])
        await asyncio.sleep(35)
        assert staging.unstaged() == frozenset()
        assert registry.most_at_once == 2

    play(registry, scenario)


def test_what_fails_for_a_while_is_tried_ever_more_rarely():
    registry = Registry(errors.ImagePullFailed("timeout"))

    async def scenario(staging: Staging) -> None:
        staging.want([workload("a")])
        await asyncio.sleep(600)
        gaps = [b - a for a, b in zip(registry.asked, registry.asked[1:], strict=False)]
        assert gaps[:4] == [1, 2, 4, 8]
        assert gaps[-1] == 60

    play(registry, scenario)


def test_what_fails_until_somebody_does_something_is_tried_rarely():
    registry = Registry(errors.RegistryUnauthorized("no"))

    async def scenario(staging: Staging) -> None:
        staging.want([workload("a")])
        await asyncio.sleep(3600)
        gaps = [b - a for a, b in zip(registry.asked, registry.asked[1:], strict=False)]
        assert (gaps[0], gaps[-1]) == (15, 300)

    play(registry, scenario)
