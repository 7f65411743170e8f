"""What is said beforehand of a host that can, or can't, carry machines."""

import json

import pytest

from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.machine import Answer
from lab.doctor.examination import Verdict
from lab.doctor.machine_preflight import (
    Check,
    PreflightReport,
    check_fleet_smoke_preflight_for_arch,
)
from tests.unit.scores.kvm.machines import Told

BRIDGES = {"unshare": Answer(0)}


def report(*missing: str, arch: Arch = Arch.X86_64, answers=BRIDGES) -> PreflightReport:
    return check_fleet_smoke_preflight_for_arch(
        arch, which=lambda name: None if name in missing else f"/bin/{name}", machine=Told(answers)
    )


def check(report: PreflightReport, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


@pytest.mark.parametrize("arch", Arch)
def test_a_missing_emulator_is_named_with_its_package(arch: Arch):
    found = check(report(f"qemu-system-{arch}", arch=arch), "programs")
    assert not found.ok
    assert f"qemu-system-{arch} missing" in found.found
    assert found.fix.startswith("apt-get install qemu-system-")


def test_what_is_missing_is_one_line_with_what_would_help():
    said = report("libvirtd", "qemu-img").reason()
    assert "\n" not in said
    assert "qemu-img, libvirtd missing (apt-get install qemu-utils libvirt-daemon)" in said


def test_an_image_in_the_cache_needs_no_builder():
    cached = check_fleet_smoke_preflight_for_arch(
        Arch.X86_64, has_image=True, which=lambda _: None, machine=Told(BRIDGES)
    )
    assert check(cached, "image").ok
    assert not check(report("mmdebstrap"), "image").ok


def test_a_host_without_bridges_says_so_in_the_kernel_s_words():
    refused = report(answers={"unshare": Answer(2, b"", b"Operation not supported\n")})
    assert check(refused, "bridge").found == "Operation not supported"
    assert not refused.ok


def test_without_a_kernel_no_accelerator_is_tried():
    assert "not tried" in check(report(), "accelerator").found


def test_a_report_is_json_and_what_the_doctor_says():
    missing = report("libvirtd")
    assert json.loads(json.dumps(missing.as_dict()))["ok"] is False
    verdicts = {finding.subject: finding.verdict for finding in missing.as_findings()}
    assert verdicts["machines x86_64: programs"] is Verdict.WARNS
    assert verdicts["machines x86_64: bridge"] is Verdict.WORKS
