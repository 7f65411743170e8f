"""Each test of the contract runs over both buses."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.bus import harness
from tests.integration.bus.harness import Harness


@pytest.fixture(params=["memory", "nats"])
async def bare(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Harness]:
    """A server without buckets."""
    if request.param == "memory":
        yield harness.Memory()
        return
    async with harness.nats_harness(tmp_path) as running:
        yield running


@pytest.fixture
async def bus(bare: Harness) -> Harness:
    """A server with the four buckets."""
    await bare.make_buckets()
    return bare
