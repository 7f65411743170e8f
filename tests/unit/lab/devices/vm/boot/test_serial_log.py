"""`lab.devices.vm.boot.serial_log`: what a console says of a boot."""

import pytest

from lab.devices.vm.boot import serial_log
from lab.devices.vm.boot.serial_log import Fault, Reading

# As a machine of Debian 12 really writes, colours and carriage returns included.
KERNEL = b"[    0.000000] Linux version 6.1.0-56-cloud-amd64 (debian-kernel@lists.debian.org)\r\n"
UNITS = b"         Starting \x1b[0;1;39mcloud-init-local.\xe2\x80\xa6cloud-init job\x1b[0m...\r\n"
SET_UP = b"vm-01 login: fleet-setup: user fleet-agent: changed\r\nfleet-setup: done\r\n"
FINISHED = (
    b"[  106.317540] cloud-init[308]: Cloud-init v. 22.4.2 finished at Wed, 25 Nov 2026 05:53:51"
    b" +0000. Datasource DataSourceNoCloud [seed=/dev/vdb][dsmode=net].  Up 106.30 seconds\r\n"
)


def test_a_console_that_is_silent_tells_nothing():
    assert serial_log.read(b"") == Reading()


def test_a_good_boot_is_read_stage_by_stage():
    assert serial_log.read(KERNEL).kernel
    assert not serial_log.read(KERNEL + UNITS).cloud_init
    assert not serial_log.read(KERNEL + UNITS + SET_UP).cloud_init
    whole = serial_log.read(KERNEL + UNITS + SET_UP + FINISHED)
    assert (whole.kernel, whole.set_up, whole.cloud_init, whole.fault) == (True, True, True, None)


def test_a_start_of_cloud_init_is_not_its_end():
    running = b"cloud-init[140]: Cloud-init v. 22.4.2 running 'init-local' at Wed, 25 Nov 2026\r\n"

    assert not serial_log.read(running).cloud_init


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"[ 1.2] Kernel panic - not syncing: VFS: Unable to mount root fs", Fault.PANIC),
        (b"[ 3.4] BUG: unable to handle page fault for address: ffff", Fault.PANIC),
        (b"ALERT! /dev/vda does not exist", Fault.PANIC),
        (b"You are in emergency mode. After logging in", Fault.PANIC),
        (b"[ 11.9] cloud-init[140]: Traceback (most recent call last):", Fault.CLOUD_INIT),
        (b"fleet-setup: FAILED: MachineUnreachable: no answer", Fault.SET_UP),
    ],
)
def test_what_cannot_get_better_is_a_fault_with_the_words_that_say_so(line: bytes, fault: Fault):
    found = serial_log.read(KERNEL + line + b"\r\n")

    assert found.fault is fault
    assert found.words
    assert found.words in line.decode()


def test_a_warning_of_cloud_init_is_no_fault():
    line = b"[ 11.1] cloud-init[140]: 2026-11-25 05:49:43 - stages.py[WARNING]: no such thing\r\n"

    assert serial_log.read(KERNEL + line).fault is None


def test_the_last_words_leave_out_colours_and_empty_lines():
    words = serial_log.last_words(b"first\r\n\r\n" + UNITS + b"\r\n \r\n", lines=1)

    assert words == "         Starting cloud-init-local.…cloud-init job..."


def test_the_last_words_of_a_silent_console_say_so():
    assert serial_log.last_words(b"") == "(nothing on the serial console)"
