"""Agents of a benchmark that end by themselves end the benchmark, which says why."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from fleet.contracts.names import DeviceId
from lab.bench import agent_processes
from lab.bench.agents import Seen
from lab.errors import PartDied

DEVICES = (DeviceId("bench-0001"), DeviceId("bench-0002"))


async def test_an_agent_that_fails_ends_all_and_its_last_words_are_told(tmp_path: Path):
    site = SimpleNamespace(
        host=SimpleNamespace(log=lambda part: tmp_path / f"{part}.log"),
        broker=SimpleNamespace(url="nonsense://hub", device=lambda _: tmp_path / "nowhere"),
    )

    with pytest.raises(PartDied, match=r"(?s)agents of the benchmark ended.*nonsense"):
        async with agent_processes.running(site, DEVICES, Seen()):  # type: ignore[arg-type]
            await asyncio.Event().wait()
