"""`lab.exec` runs a command in a device as if it had been typed there."""

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab.devices import host as host_devices
from lab.devices.host_device import HostDevice
from lab.host import network
from lab.host.cgroups import CgroupsScore
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def entered(lab_host: LabHost, monkeypatch: pytest.MonkeyPatch) -> LabHost:
    """A lab whose first device can be entered; nothing runs in it."""
    device = HostDevice("dev-01", 1, {}, "nats://x", Path("/none"), "localhost:1", None)
    parts = (*host_devices.ground(lab_host, [device.id]), CgroupsScore())
    for score in (*parts, *host_devices.computer(lab_host, device)):
        if not isinstance(score, ProcessScore):
            score.interpret(lab_host).expect()
    monkeypatch.setenv("LAB_NAME", lab_host.name)
    return lab_host


def execute(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        spelt(argv), cwd=ROOT, input=stdin, capture_output=True, text=True, check=False, timeout=60
    )


def spelt(argv: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "invoke", "lab.exec", *argv]


def test_a_command_runs_in_the_devices_namespaces(entered: LabHost):
    files = network.namespaces(entered, "dev-01").files

    said = execute("dev-01", "--", "stat", "-Lc%i", "/proc/self/ns/net", "/proc/self/ns/mnt").stdout

    assert said.split() == [str(path.stat().st_ino) for path in files]


def test_words_stdin_stdout_and_exit_status_are_the_commands_own(entered: LabHost):
    done = execute(
        "dev-01", "--", "sh", "-c", 'cat; echo "$1|$2"; exit 7', "x", "a  b", "c", stdin="in "
    )

    assert (done.returncode, done.stdout) == (7, "in a  b|c\n")


def test_podman_is_the_devices(entered: LabHost):
    said = execute("dev-01", "--", "podman", "info", "--format={{.Store.GraphRoot}}").stdout

    assert said.strip() == str(host_devices.root_of(entered, "dev-01") / "store")


def test_without_a_command_a_shell_on_the_terminal_names_the_device(entered: LabHost):
    outer, inner = pty.openpty()
    with subprocess.Popen(
        spelt(["dev-01"]), cwd=ROOT, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
    ) as shell:
        os.close(inner)
        os.write(outer, b"test -t 0 && exit 3\n")
        assert shell.wait(60) == 3
        assert b"dev-01:" in os.read(outer, 4096)
    os.close(outer)


def test_without_a_terminal_the_shell_runs_what_it_reads_and_says_nothing_of_its_own(
    entered: LabHost,
):
    done = execute("dev-01", stdin="echo $HOME; exit 4\n")

    root = str(host_devices.root_of(entered, "dev-01"))
    assert (done.returncode, done.stdout, done.stderr) == (4, f"{root}\n", "")


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["dev-99", "--", "true"], 5, ("no device dev-99", "dev-01, dev-02, dev-03")),
        (["dev-02", "--", "true"], 5, ("dev-02 is not up", "invoke lab.up --name test")),
        (["dev-01", "--", "no-such"], 5, ("no program 'no-such'",)),
        (["dev-01", "--name", "never-made"], 5, ("lab never-made is down", "invoke lab.up")),
    ],
    ids=["no such device", "device not up", "no such program", "lab down"],
)
def test_what_is_not_there_is_told_with_what_to_type(
    argv: list[str], code: int, told: tuple[str, ...], entered: LabHost
):
    done = execute(*argv)

    assert done.returncode == code
    assert [words for words in told if words not in done.stderr] == []
