"""Each benchmark, at its smallest, measures what it says; how long that took is no claim here."""

import pytest

from lab.bench import control, start
from lab.bench.control import Size
from lab.bench.results import Results
from lab.services.cluster import stage as cluster
from tests.lab_host import needs

pytestmark = [pytest.mark.timeout(300), needs(*cluster.PARTS, "nats-server")]


@pytest.mark.parametrize("agents", [control.PROCESSES, control.TASKS])
async def test_the_control_plane_is_timed_from_apply_to_right_statuses(agents: str):
    said: list[str] = []
    size = Size(devices=2, deployments=1, rounds=1, agents=agents)
    figures = await control.measure(size, said.append)
    results = Results.of("control", "invoke bench.control", figures, load=0.0)
    by_step = {figure.name.removeprefix("2 x 1 "): figure.median for figure in figures}
    assert 0 < by_step["create: seen"] <= by_step["create: all right"]
    assert 0 < by_step["update: seen"] <= by_step["update: all right"]
    assert by_step["create: agent"] > 0
    assert by_step["update: agent"] > 0
    assert all((results.ratio(figure) is None) is (not figure.baseline) for figure in figures)
    assert said


async def test_a_cold_start_is_timed_until_statuses_tell_what_happened_meanwhile():
    figures = await start.measure([start.Size(2, 1, services=3)], 1, lambda _: None)
    assert [figure.name for figure in figures] == [
        "imports alone",
        "imports alone: processor",
        "imports alone: memory",
        "2 x 1 ready",
        "2 x 1 statuses right",
        "2 x 1 processor",
        "2 x 1 memory",
        "2 x 1 worst step",
        "2 x 1 worst step: processor",
    ]
    assert all(figure.median > 0 for figure in figures)
