"""`status`: what a person and a script are told."""

from datetime import UTC, datetime

import msgspec
import pytest

from fleet.agent.device import status
from fleet.agent.device.status import Deployment, Snapshot
from fleet.agent.journal import entries
from fleet.agent.model import intents
from fleet.agent.model.reports import Report
from fleet.contracts.messages import Phase, Problem, ServiceState, StateError
from fleet.contracts.names import DeploymentName
from tests.unit.agent.journal.test_entries import DEVICE, FOREIGN, WEB, good

AT = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
RUNNING = Deployment(name="web", phase=Phase.RUNNING, revision="0123456789abcdef")
FAILED = Deployment(
    name="longer-name",
    phase=Phase.FAILED,
    revision="ff",
    services=(
        ServiceState(name="a", state="running"),
        ServiceState(name="cache", state="exited", restarts=12),
    ),
    error=StateError(reason="CrashLoop", message="it keeps exiting", service="cache"),
)
SNAPSHOT = Snapshot(
    device_id="dev-01",
    hub="nats://hub:4222",
    is_running=True,
    since=AT,
    at=AT,
    agent_version="1.2",
    deployments=(FAILED, RUNNING),
    problems=(Problem(reason="DuplicateAgent", message="another one"),),
)

TABLE = """\
device   dev-01
agent    1.2 running, 2026-01-01 12:00:00 UTC
hub      nats://hub:4222 not connected since 2026-01-01 12:00:00 UTC
problem  DuplicateAgent: another one

DEPLOYMENT   PHASE    REVISION      SERVICE  STATE    RESTARTS
longer-name  Failed   ff            a        running  0
                                    cache    exited   12
web          Running  0123456789ab  -        -        -

longer-name: cache: CrashLoop: it keeps exiting
"""


def test_a_person_reads_a_table():
    assert status.show(SNAPSHOT) == TABLE


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"is_connected": True, "unheard_for": 1.5}, "hub connected since"),
        ({"is_connected": False, "unheard_for": 31.4}, "hub silent for 31 s, connected since"),
        ({"is_connected": False, "unheard_for": None}, "hub not connected since"),
    ],
)
def test_a_hub_that_is_silent_is_told_from_one_that_answers(more: dict[str, object], says: str):
    told = Snapshot(device_id="d", hub="hub", is_running=True, since=AT, **more)  # type: ignore[arg-type]
    assert says in status.show(told)


def test_what_a_journal_holds_is_told_from_what_is_so_now():
    refused = entries.of(DEVICE, WEB, intents.read(WEB, FOREIGN, good))
    gone = entries.of(DEVICE, DeploymentName("old"), intents.Withdraw())
    assert refused
    assert gone
    told = Snapshot(device_id="dev-01", deployments=status.journalled([gone, refused]))
    shown = status.show(told)
    assert "does not answer" in shown
    assert "old         Removing  -" in shown
    assert "web         ?         f00" in shown
    assert status.exit_status(told) == 3


def test_a_device_without_deployments_is_well():
    told = Snapshot(device_id="dev-01", is_running=True)
    assert "no deployments" in status.show(told)
    assert status.exit_status(told) == 0


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        (Snapshot(device_id="d", is_running=True, deployments=(RUNNING,)), 0),
        (Snapshot(device_id="d", is_running=True, deployments=(RUNNING, FAILED)), 1),
        (Snapshot(device_id="d", is_running=True, deployments=(Deployment(name="x"),)), 1),
        (Snapshot(device_id="d", is_running=True, problems=(Problem(reason="X"),)), 1),
        (Snapshot(device_id="d", deployments=(RUNNING,)), 3),
    ],
)
def test_a_script_reads_the_exit_status(snapshot: Snapshot, code: int):
    assert status.exit_status(snapshot) == code


def test_an_agent_tells_what_it_is_at():
    known: dict[DeploymentName, tuple[intents.Intent, Report | None]] = {
        WEB: (good, Report("r1", Phase.RUNNING)),
        DeploymentName("new"): (good, None),
        DeploymentName("old"): (intents.Withdraw(), Report("r0", Phase.RUNNING)),
    }
    assert [(d.name, d.phase, d.revision) for d in status.deployments(known)] == [
        ("new", "Pending", ""),
        ("old", "Removing", ""),
        ("web", "Running", "r1"),
    ]


def test_a_script_reads_every_field_also_where_it_is_false():
    told = msgspec.json.decode(msgspec.json.encode(Snapshot(device_id="dev-01")))
    assert told["is_running"] is False
    assert told["deployments"] == []
