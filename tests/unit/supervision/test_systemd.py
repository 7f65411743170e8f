"""systemd's notifications, as a socket in systemd's place hears them."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet.supervision.systemd import Notifier


class Manager:
    """A socket as systemd's, and what it heard."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)

    def heard(self) -> list[str]:
        """Read what came so far."""
        found = []
        while True:
            try:
                found.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return found

    def close(self) -> None:
        """Be gone."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where systemd listens: a path, or an abstract name."""
    return f"@fleet-{tmp_path}" if request.param == "abstract" else str(tmp_path / "notify")


@pytest.fixture
def manager(address: str) -> Iterator[Manager]:
    """Listen there."""
    made = Manager(address)
    yield made
    made.close()


def test_a_service_says_that_it_is_ready_lives_and_ends(manager: Manager, address: str):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address})
    notifier.arm(90)
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert manager.heard() == [
        "WATCHDOG_USEC=90000000", "WATCHDOG=1", "READY=1", "WATCHDOG=1", "STOPPING=1",
    ]  # fmt: skip


def test_a_watchdog_that_the_unit_has_armed_is_fed_and_left_as_it_is(
    manager: Manager, address: str
):
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "30000000"})
    notifier.arm(90)
    assert manager.heard() == ["WATCHDOG=1"]


def test_a_watchdog_is_armed_for_a_minute_and_a_half_unless_told_otherwise(
    manager: Manager, address: str
):
    Notifier(address).arm()
    assert manager.heard() == ["WATCHDOG_USEC=90000000", "WATCHDOG=1"]


def test_without_a_socket_or_anybody_behind_it_nothing_is_said_and_nothing_fails(tmp_path: Path):
    Notifier.from_environment({}).arm()
    Notifier(str(tmp_path / "nobody")).alive()
    Notifier("x" * 500).alive()


def test_a_manager_that_does_not_read_holds_nobody_up(manager: Manager, address: str):
    notifier = Notifier(address)
    for _ in range(5000):
        notifier.alive()
    assert len(manager.heard()) < 5000
