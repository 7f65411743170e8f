"""A libvirt that ends in the middle, or hangs: named with its host and what to do."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import pytest

from fleet import errors
from fleet.scores.kvm.libvirt import LibvirtHypervisor
from lab.devices.vm.hypervisor import daemon
from lab.host import processes
from lab.host.lab_host import LabHost
from lab.system import waiting
from tests.lab_host import bring_about, running

PATIENCE = 3.0
HANGS_AFTER = 10 * PATIENCE
POLLS = {"7", "73", "271"}  # poll and ppoll, by the numbers of x86-64 and arm64


@pytest.fixture
def impatient(lab_host: LabHost) -> Iterator[LibvirtHypervisor]:
    """A connection that waits for seconds rather than for most of a minute."""
    with LibvirtHypervisor.connect(daemon.uri(lab_host), patience=PATIENCE) as connected:
        yield connected


@pytest.fixture
def stopped(lab_host: LabHost, impatient: LibvirtHypervisor) -> Iterator[int]:
    """The libvirt that *impatient* is connected to, which hangs until the test is over."""
    pid = running(lab_host, daemon.PART)
    os.kill(pid, signal.SIGSTOP)
    yield pid
    if processes.pid_of(lab_host.ledger, daemon.PART) == pid:
        os.kill(pid, signal.SIGCONT)


def test_a_call_to_a_libvirt_that_hangs_ends_by_itself_and_works_again_once_it_goes_on(
    stopped: int, impatient: LibvirtHypervisor
):
    with pytest.raises(
        errors.HypervisorUnavailable, match=r"this machine: .* hangs.*restart libvirtd"
    ):
        _bounded(impatient.domains)

    os.kill(stopped, signal.SIGCONT)
    assert impatient.domains() == ()


@pytest.mark.usefixtures("stopped")
def test_opening_a_connection_to_a_libvirt_that_hangs_ends_by_itself(lab_host: LabHost):
    with pytest.raises(errors.HypervisorUnavailable, match=r"this machine: .*it hangs"):
        _bounded(lambda: LibvirtHypervisor.connect(daemon.uri(lab_host), patience=PATIENCE))


def test_a_libvirt_killed_in_the_middle_of_a_call_is_said_with_what_is_unknown_and_to_be_done(
    stopped: int, impatient: LibvirtHypervisor, lab_host: LabHost
):
    with futures.ThreadPoolExecutor(1) as pool:
        thread = pool.submit(threading.get_native_id).result()
        call = pool.submit(impatient.domains)
        waiting.wait_for("the call waits", _waits(thread), within=10)
        os.kill(stopped, signal.SIGKILL)

        with pytest.raises(
            errors.HypervisorUnavailable,
            match=r"this machine: .*broke off in the middle .*or not: .*run this again",
        ):
            call.result()

    # Its sockets close before it has gone; until then nobody starts another.
    waiting.wait_for("libvirtd is gone", _gone(lab_host, stopped), within=10)
    bring_about(daemon.scores(lab_host), lab_host)
    assert impatient.domains() == ()


def _bounded(call: Callable[[], object]) -> None:
    """Make *call*, and fail where it hangs: in libvirt's own code no signal reaches it."""
    pool = futures.ThreadPoolExecutor(1)
    try:
        pool.submit(call).result(timeout=HANGS_AFTER)
    finally:
        pool.shutdown(wait=False)


def _gone(lab_host: LabHost, pid: int) -> waiting.Probe:
    """Ready when the lab's libvirt isn't process *pid* any more."""

    def probe() -> str:
        return "it runs" if processes.pid_of(lab_host.ledger, daemon.PART) == pid else ""

    return probe


def _waits(thread: int) -> waiting.Probe:
    """Ready when *thread* of ours waits for an answer."""

    def probe() -> str:
        doing = Path(f"/proc/self/task/{thread}/syscall").read_text().split()[0]
        return "" if doing in POLLS else f"it does {doing}"

    return probe
