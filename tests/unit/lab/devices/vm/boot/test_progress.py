"""`lab.devices.vm.boot.progress`: each stage in its time; what can't get better fails."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.scores.kvm.domains import Accelerator
from fleet.scores.linux.architecture import Arch
from lab.devices.vm.boot import progress, timeouts
from lab.devices.vm.boot.progress import Boot, Follower
from lab.devices.vm.boot.timeouts import Step
from lab.errors import PartDied, WaitTimedOut

NOWHERE = "127.255.255.254"  # loopback, where nothing listens: it refuses, as a machine does
KERNEL = b"[    0.000000] Linux version 6.1.0\n"
PANIC = KERNEL + b"[    1.000000] Kernel panic - not syncing: VFS: Unable to mount root fs\n"


def boot(log: Path, off: Callable[[], str] = lambda: "", address: str = NOWHERE) -> Boot:
    """Describe a boot whose console writes to *log*."""
    return Boot("vm-01", address, Arch.X86_64, Accelerator.TCG, log, 0, off)


def follower(wanted: Boot, within: float = 0.0) -> Follower:
    """Follow *wanted* with *within* seconds for each stage."""
    return Follower(wanted, saw=lambda _: None, budget=lambda _: within)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where the console of a machine writes to."""
    return tmp_path / "serial.log"


def test_a_panic_fails_the_boot_at_once_with_its_words(log: Path):
    log.write_bytes(PANIC)

    with pytest.raises(
        PartDied, match=r"vm-01: panic in stage power: .*Unable to mount root"
    ) as got:
        follower(boot(log), within=3600).follow()

    assert got.value.log == log


def test_a_machine_that_is_off_fails_the_boot_at_once_with_its_last_words(log: Path):
    log.write_bytes(KERNEL)

    with pytest.raises(PartDied, match=r"the machine is off \(crashed\), in stage power") as caught:
        follower(boot(log, off=lambda: "the machine is off (crashed)"), within=3600).follow()

    assert "Linux version" in str(caught.value)


def test_a_set_up_that_failed_fails_the_boot_at_once(log: Path):
    log.write_bytes(KERNEL + b"fleet-setup: FAILED: HostUnsupported: no podman\n")

    with pytest.raises(PartDied, match=r"set-up failed .*: fleet-setup: FAILED: HostUnsupported"):
        follower(boot(log), within=3600).follow()


def test_a_kernel_that_says_nothing_is_named_when_its_time_is_up(log: Path):
    with pytest.raises(WaitTimedOut, match=r"vm-01: kernel: not within .* said nothing yet"):
        follower(boot(log)).follow()


def test_a_machine_that_never_opens_ssh_is_named(log: Path):
    log.write_bytes(KERNEL)

    with pytest.raises(WaitTimedOut, match="vm-01: ssh: not within"):
        follower(boot(log)).follow()


def test_each_stage_gets_its_own_budget(log: Path):
    log.write_bytes(KERNEL)
    asked: list[float] = []

    def budget(seconds: float) -> float:
        asked.append(seconds)
        return 0.0

    with pytest.raises(WaitTimedOut):
        Follower(boot(log), lambda _: None, budget).follow()

    steps = (Step.POWER, Step.KERNEL, Step.NETWORK, Step.SSH)
    assert asked == [timeouts.seconds(step, Arch.X86_64, Accelerator.TCG) for step in steps]


def test_what_was_said_before_power_on_is_of_another_boot(log: Path):
    log.write_bytes(PANIC)
    later = Boot(
        "vm-01", NOWHERE, Arch.X86_64, Accelerator.TCG, log, len(PANIC), off=lambda: ""
    )  # fmt: skip

    with pytest.raises(WaitTimedOut, match="kernel"):
        follower(later).follow()


def test_ssh_is_ready_when_a_server_says_its_name():
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=lambda: _greet(server, b"SSH-2.0-OpenSSH_9.2\r\n"))
        answering.start()
        assert progress.ssh("127.0.0.1", server.getsockname()[1])() == ""
        answering.join()


def test_a_port_that_says_something_else_is_no_ssh():
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=lambda: _greet(server, b"220 mail\r\n"))
        answering.start()
        assert "220 mail" in progress.ssh("127.0.0.1", server.getsockname()[1])()
        answering.join()


def test_the_budgets_of_a_stage_are_larger_where_a_machine_is_slower():
    for step in Step:
        kvm = timeouts.seconds(step, Arch.X86_64, Accelerator.KVM)
        tcg = timeouts.seconds(step, Arch.X86_64, Accelerator.TCG)
        arm = timeouts.seconds(step, Arch.AARCH64, Accelerator.TCG)
        assert 0 < kvm < tcg < arm


def _greet(server: socket.socket, words: bytes) -> None:
    connection, _ = server.accept()
    with connection:
        connection.sendall(words)
