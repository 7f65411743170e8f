"""`lab.doctor` tries what the lab needs; it says what does not work, why, and what to do."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.timeout(180)

Findings = Mapping[str, Mapping[str, str]]


def examine(path: str, data: Path) -> tuple[int, Findings]:
    """Run the doctor with a PATH, and return its exit code and findings by subject."""
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "lab.doctor", "--format", "json"],
        cwd=ROOT, env={**os.environ, "PATH": path, "HARMONY_DATA_DIR": str(data)},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done.returncode, {each["subject"]: each for each in json.loads(done.stdout)}


def without(program: str, place: Path) -> str:
    """Return a PATH with everything but *program*."""
    place.mkdir()
    for directory in reversed(os.environ["PATH"].split(os.pathsep)):
        for found in Path(directory).glob("*"):
            link = place / found.name
            link.unlink(missing_ok=True)
            if found.name != program:
                link.symlink_to(found)
    return str(place)


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path):
    code, found = examine(without("podman", tmp_path / "bin"), tmp_path)

    assert code == 3
    assert found["programs"]["verdict"] == "fails"
    assert "podman" in found["programs"]["reason"]
    assert found["programs"]["fix"] == "apt-get install podman"
    assert found["container"]["reason"] == "not tried: see above"


def test_a_capability_that_is_missing_is_told_with_its_reason_and_leaves_nothing(tmp_path: Path):
    shim = tmp_path / "bin"
    shim.mkdir()
    refuses = "echo 'netlink: Operation not supported' >&2; exit 1"
    (shim / "nft").write_text(
        f'#!/bin/sh\ncase "$*" in *-f*) {refuses};; esac\nexec {shutil.which("nft")} "$@"\n'
    )
    (shim / "nft").chmod(0o755)

    code, found = examine(f"{shim}{os.pathsep}{os.environ['PATH']}", tmp_path)

    assert code == 3
    assert found["network"]["verdict"] == "fails"
    assert "Operation not supported" in found["network"]["reason"]
    assert found["network"]["fix"]
    assert found["podman"]["reason"] == "not tried: see above"
    assert not list((tmp_path / "fleet" / "labs").glob("doctor"))


def test_a_toolchain_that_does_not_run_is_named(tmp_path: Path):
    shim = tmp_path / "bin"
    shim.mkdir()
    shutil.copy(shutil.which("false") or "/bin/false", shim / "etcd")

    code, found = examine(f"{shim}{os.pathsep}{os.environ['PATH']}", tmp_path)

    assert code == 3
    assert found["toolchain"]["verdict"] == "fails"
    assert "etcd" in found["toolchain"]["reason"]
