"""A broken fleet goes back to its snapshot, its machines in the very boot that they were in."""

import subprocess

from tests.using_lab.labs import Lab
from tests.using_lab.resetting import *  # noqa: F403 - the same tests, on this suite's lab
from tests.vm.machines import Machine


def test_a_machine_that_a_killed_snapshot_left_paused_goes_on_in_its_boot(
    lab: Lab, machine: Machine
):
    before = machine.boot_id
    virsh = ("virsh", "--connect", machine.status["libvirt"], "suspend", machine.status["domain"])
    subprocess.run(virsh, capture_output=True, check=True, timeout=60)

    assert "is paused" in lab.up().out
    assert machine.boot_id == before
