"""Bad scores at the agent: told by reason and word, and the version before runs on untouched."""

from typing import Any

import pytest

from fleet.contracts import scores
from fleet.contracts.messages import Phase, ReconcileScore
from tests.agent_device import OWNER, Hub
from tests.integration.agent.conftest import Start
from tests.integration.agent.test_deploying import sleeper
from tests.podman_host import PodmanHost

pytestmark = pytest.mark.timeout(60)

PORT = [{"host": 8095, "container": 80}]
DATA = {"name": "data", "mountPath": "/data"}
SERVICES: dict[str, tuple[tuple[dict[str, Any], ...], str, str]] = {
    "duplicate services": ((sleeper("a"), sleeper("a")), "InvalidDesiredState", "'a'"),
    "no service": ((), "InvalidDesiredState", "$.services"),
    "bad name": ((sleeper("A"),), "InvalidDesiredState", "$.services[0].name"),
    "image with a space": ((sleeper("a", image="x y"),), "InvalidDesiredState", "[0].image"),
    "no image": (({"name": "a"},), "InvalidDesiredState", "image"),
    "bad port": (
        (sleeper("a", ports=[{"host": 70000, "container": 80}]),),
        "InvalidDesiredState",
        "[0].ports[0].host",
    ),
    "two services on one port": (
        (sleeper("a", ports=PORT), sleeper("b", ports=PORT)),
        "InvalidDesiredState",
        "'a' and 'b' want the same host port: 8095/tcp",
    ),
    "bad unit": (
        (sleeper("a", resources={"memory": "128m"}),),
        "InvalidDesiredState",
        "a unit of Ki, Mi, Gi",
    ),
    "two sources": (
        (sleeper("a", volumes=[{**DATA, "hostPath": "/srv"}]),),
        "InvalidDesiredState",
        "needs either name or hostPath",
    ),
    "a key of Fleet's": (
        (sleeper("a", labels={"fleet.nationtech.io/device": "other"}),),
        "InvalidDesiredState",
        "keys of nationtech.io are Fleet's own",
    ),
    "unknown field": ((sleeper("a", gpu=1),), "UnsupportedScore", "gpu"),
    "unknown field within": (
        (sleeper("a", volumes=[{**DATA, "size": "1Gi"}]),),
        "UnsupportedScore",
        "size",
    ),
}


def score(type_: str, *services: dict[str, Any]) -> ReconcileScore:
    """Make a desired state, whatever it is worth."""
    data = {"services": list(services)}
    revision = scores.revision(type_, data)
    return ReconcileScore(type=type_, data=data, revision=revision, owner=OWNER)


async def test_a_bad_score_is_told_and_the_version_before_runs_on(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    """All in one agent's life, so that each also follows on another bad one."""
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        before = host.containers()
        for case, (services, reason, word) in SERVICES.items():
            revision = await hub.deploy("web", *services)
            state = await hub.reaches("web", Phase.FAILED, revision=revision, reason=reason)
            assert state.error, case
            assert word in state.error.message, case
            assert host.containers() == before, case

        unknown = score("WasmV9")
        await hub.desired.put(hub.key("web"), unknown)
        state = await hub.reaches(
            "web", Phase.FAILED, revision=unknown.revision, reason="UnsupportedScore"
        )
        assert state.error
        assert "WasmV9" in state.error.message
        assert "PodmanV0" in state.error.message
        assert host.containers() == before

        revision = await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        assert host.containers() == before


async def test_what_the_device_cannot_give_fails_its_service_and_no_other(
    hub: Hub, start_agent: Start
):
    lacking = [{"hostPath": "/nowhere", "mountPath": "/data"}]
    async with start_agent():
        await hub.deploy("web", sleeper("a", volumes=lacking), sleeper("b"))
        # On a busy host the failure is told before the other service is there.
        state = await hub.reaches("web", Phase.FAILED, reason="HostPathMissing", running="b")
        assert state.error
        assert state.error.service == "a"
