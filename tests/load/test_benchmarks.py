"""The benchmarks that need a lab, at their smallest: they measure what they say, and tidy up."""

from lab.bench import converge, deployments, footprint, latency
from tests.using_lab.cluster import Cluster
from tests.using_lab.devices import Device
from tests.using_lab.labs import Lab


def _say(_: str) -> None:
    """Tell nobody."""


async def test_containers_are_timed_beside_podman_alone_and_gone_afterwards(
    lab: Lab, cluster: Cluster, devices: tuple[Device, ...]
):
    podman, ours = await converge.measure(lab.name, 2, 1, _say)
    assert ours.baseline == podman.name
    assert min(*podman.values, *ours.values) > 0
    podman, running, told = await latency.measure(lab.name, 1, _say)
    assert 0 < running.median <= told.median
    assert cluster.names("fleetdep", "-n", deployments.NAMESPACE) == []
    assert not any(name.startswith("fleet.bench-") for d in devices[:2] for name in d.containers())


async def test_agents_and_operators_are_weighed(lab: Lab):
    figures = {figure.name: figure for figure in await footprint.measure(lab.name, (2, 1), 1, _say)}
    assert len(figures["agent, 1 of 20: PSS"].values) == 20
    assert all(figure.median > 0 for figure in figures.values() if figure.unit == "MB")
