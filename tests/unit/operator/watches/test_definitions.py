"""Definitions: read once for each object that is being deleted, after that was seen."""

import pytest

from fleet import errors
from fleet.operator.model.ending import Ending
from fleet.operator.watches import definitions
from fleet.operator.watches.definitions import Definitions
from tests.unit.operator.fakes import FakeCluster

FIRST, LATER = Ending("deployments", "u1"), Ending("deployments", "u2")


async def test_what_was_deleted_before_its_definition_is_deleted_for_its_own_sake():
    cluster = FakeCluster()
    found = Definitions(cluster)
    assert await found.stand(FIRST)
    cluster.undefined = {"deployments"}
    assert await found.stand(FIRST)
    assert not await found.stand(LATER)
    assert await found.stand(Ending("devices", "u1"))


async def test_what_could_not_be_read_is_read_again():
    cluster = FakeCluster()
    found = Definitions(cluster)
    cluster.broken = errors.ClusterUnavailable("away")
    with pytest.raises(errors.ClusterUnavailable):
        await found.stand(FIRST)
    cluster.broken = None
    assert await found.stand(FIRST)


async def test_only_the_latest_are_remembered():
    cluster = FakeCluster()
    found = Definitions(cluster)
    await found.stand(FIRST)
    for number in range(definitions.KNOWN):
        await found.stand(Ending("devices", str(number)))
    cluster.undefined = {"deployments"}
    assert not await found.stand(FIRST)
