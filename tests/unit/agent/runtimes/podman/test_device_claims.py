"""`device_claims`: who has a node, by what containers say that they were made with."""

import pytest

from fleet.agent.runtimes.podman import device_claims
from fleet.agent.runtimes.podman.device_claims import Claim
from fleet.agent.runtimes.port import Container, Status
from fleet.contracts import containers
from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import RestartPolicy
from tests.unit.agent.world import container, name

TTY = Claim("/dev/ttyUSB0", "c188:0")
NOW = {"/dev/ttyUSB0": "c188:0", "/dev/by-id": "c188:0", "/dev/ttyUSB1": "c188:1"}


def number_at(path: str) -> str:
    return NOW.get(path, "")


def holder(
    other: Container, *had: Claim, wanted: Claim = TTY, beside: DeploymentName | None = None
) -> Container | None:
    return device_claims.holder(
        [(other, had)], wanted, container=name("me"), beside=beside, number_at=number_at
    )


@pytest.mark.parametrize(
    ("other", "has"),
    [
        (container("a"), True),
        (container("a", status=Status.PAUSED), True),
        (container("a", status=Status.BROKEN), True),
        (container("a", status=Status.CREATED), True),
        (container("a", status=Status.EXITED, exit_code=1, started=1, finished=2), True),
        (container("a", status=Status.EXITED, started=1, finished=2), True),
        (
            container(
                "a",
                status=Status.EXITED,
                started=1,
                finished=2,
                restart_policy=RestartPolicy.ON_FAILURE,
            ),
            False,
        ),
        (
            container(
                "a",
                status=Status.EXITED,
                exit_code=1,
                started=1,
                finished=2,
                restart_policy=RestartPolicy.ON_FAILURE,
            ),
            True,
        ),
        (
            container(
                "a",
                status=Status.EXITED,
                exit_code=1,
                started=1,
                restart_policy=RestartPolicy.NEVER,
            ),
            False,
        ),
        # A power cut took it.
        (container("a", status=Status.CREATED, started=1), True),
        (
            container("a", status=Status.CREATED, started=1, restart_policy=RestartPolicy.NEVER),
            False,
        ),
        (container("me"), False),
    ],
    ids=str,
)
def test_a_container_has_its_node_while_it_may_run_again(other: Container, has: bool):
    assert (holder(other, TTY) is other) == has


@pytest.mark.parametrize(
    ("had", "wanted", "has"),
    [
        (Claim("/dev/by-id", "c188:0"), TTY, True),
        (Claim("/dev/ttyUSB1", "c188:1"), TTY, False),
        (Claim("/dev/ttyUSB0", "c188:0", shared=True), TTY, True),
        (TTY, Claim("/dev/ttyUSB0", "c188:0", shared=True), True),
        (
            Claim("/dev/ttyUSB0", "c188:0", shared=True),
            Claim("/dev/by-id", "c188:0", shared=True),
            False,
        ),
    ],
    ids=str,
)
def test_a_node_is_one_by_its_number_and_is_shared_where_both_say_so(
    had: Claim, wanted: Claim, has: bool
):
    assert (holder(container("a"), had, wanted=wanted) is not None) == has


def test_the_deployment_that_replaces_its_own_is_not_in_its_own_way():
    other = container("a")
    assert holder(other, TTY, beside=other.deployment) is None
    assert holder(other, TTY, beside=DeploymentName("other")) is other


@pytest.mark.parametrize(
    ("status", "has"), [(Status.RUNNING, True), (Status.EXITED, False), (Status.CREATED, False)]
)
def test_what_runs_has_what_it_was_given_and_what_does_not_what_it_would_get(
    status: Status, has: bool
):
    """Both swapped numbers at a reboot: neither may wait for the other for ever."""
    renamed = Claim("/dev/ttyUSB1", "c188:0")
    assert (holder(container("a", status=status), renamed) is not None) == has


@pytest.mark.parametrize(
    ("status", "claim", "is_renamed"),
    [
        (Status.EXITED, TTY, False),
        (Status.EXITED, Claim("/dev/ttyUSB0", "c188:7"), True),
        (Status.CREATED, Claim("/dev/ttyUSB0", "c188:7"), True),
        (Status.RUNNING, Claim("/dev/ttyUSB0", "c188:7"), True),
        (Status.RUNNING, TTY, False),
        (Status.RUNNING, Claim("/dev/gone", "c188:7"), False),
        (Status.STOPPING, Claim("/dev/ttyUSB0", "c188:7"), False),
        (Status.EXITED, Claim("/dev/gone", "c188:7"), False),
    ],
    ids=str,
)
def test_a_container_whose_node_has_another_number_is_made_anew(
    status: Status, claim: Claim, is_renamed: bool
):
    found = container("a", status=status)
    assert device_claims.is_renamed(found, [claim], number_at) == is_renamed


def test_a_label_tells_what_was_written():
    claims = (TTY, Claim("/dev/dri/ü", "c226:128", shared=True))
    text = device_claims.spell(claims)
    assert text.isascii()  # others are no labels to us
    assert device_claims.read({containers.LABEL_DEVICES: text}) == claims
    assert device_claims.spell(()) == ""


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", "7", "null", '[{"path": "/dev/a"}]'])
def test_a_label_that_says_nothing_claims_nothing(text: str):
    assert device_claims.read({containers.LABEL_DEVICES: text}) == ()


def test_a_container_without_a_label_claims_nothing():
    assert device_claims.read({}) == ()
