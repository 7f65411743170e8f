"""`host_paths`: what is the agent's own is mounted by no service, however it is called."""

import contextlib
import os
from pathlib import Path

import pytest
from msgspec import structs

from fleet import errors
from fleet.agent import settings
from fleet.agent.runtimes.podman import host_paths
from fleet.agent.runtimes.podman import mounts as mount_table
from fleet.agent.runtimes.podman.host_paths import HostPaths
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Capabilities, Volume
from tests.unit.agent.world import service


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """The root of a device, in small."""
    for directory in ("var/lib/agent/journal", "var/lib/agents", "etc/agent", "srv/data", "run"):
        (tmp_path / directory).mkdir(parents=True)
    for file in ("etc/agent/credentials", "etc/agent/ca", "run/podman.sock"):
        (tmp_path / file).touch()
    (tmp_path / "srv/link").symlink_to(tmp_path / "var/lib/agent")
    (tmp_path / "srv/relative").symlink_to("../etc/agent/credentials")
    (tmp_path / "srv/up").symlink_to(tmp_path)
    (tmp_path / "srv/same").hardlink_to(tmp_path / "etc/agent/credentials")
    return tmp_path


def guard(device: Path, *allowed: str) -> HostPaths:
    """What that device's agent keeps for itself."""
    protected = (
        (device / "var/lib/agent", "the agent's state"),
        (device / "etc/agent/credentials", "the agent's credentials"),
        (device / "run/podman.sock", "podman's socket"),
        (device / "none", "what isn't there"),
    )
    return HostPaths(protected, tuple(device / each for each in allowed))


def mounts(*paths: Path):
    """Make a service that mounts *paths*, and a volume by name."""
    bound = [Volume(mount_path=f"/m{n}", host_path=str(path)) for n, path in enumerate(paths)]
    return service("a", volumes=(Volume(mount_path="/data", name="data"), *bound))


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("var/lib/agent", "the agent's state"),
        ("var/lib/agent/journal", "the agent's state"),
        ("var/lib/agent/journal/new", "the agent's state"),
        ("var/lib", "the agent's state"),
        ("var", "the agent's state"),
        (".", "the agent's state"),
        ("srv/link", "the agent's state"),
        ("srv/link/journal", "the agent's state"),
        ("srv/up/var", "the agent's state"),
        ("etc/agent", "the agent's credentials"),
        ("etc/agent/credentials", "the agent's credentials"),
        ("srv/relative", "the agent's credentials"),
        ("srv/same", "the agent's credentials"),
        ("run", "podman's socket"),
        ("run/podman.sock", "podman's socket"),
        ("none", "what isn't there"),
        ("none/below", "what isn't there"),
    ],
)
def test_what_reaches_the_agents_own_is_refused_by_the_name_of_the_rule(
    device: Path, path: str, what: str
):
    with pytest.raises(errors.HostPathForbidden, match=r"\[host_paths\]") as refusal:
        guard(device).check(mounts(device / "srv/data", device / path))
    assert what in str(refusal.value)
    assert str(device / path) in str(refusal.value)
    assert refusal.value.element == "a"


@pytest.mark.parametrize("path", ["srv/data", "srv/data/new", "etc/agent/ca", "var/lib/agents"])
def test_what_lies_beside_is_not_refused(device: Path, path: str):
    guard(device).check(mounts(device / path))


@pytest.mark.parametrize("path", ["/", "/proc/self/root", "/proc/1/root/srv", "/proc/7/cwd"])
def test_a_way_through_the_root_or_another_process_is_refused(device: Path, path: str):
    with pytest.raises(errors.HostPathForbidden):
        guard(device).check(mounts(Path(path)))


def test_where_a_symlink_to_the_agents_own_lies_is_the_agents_too(device: Path):
    protected = ((device / "srv/link", "the agent's state"),)
    for path in ("srv", "var/lib/agent"):
        with pytest.raises(errors.HostPathForbidden):
            HostPaths(protected).check(mounts(device / path))


def test_a_symlink_on_the_way_to_the_agents_own_is_the_agents_too(device: Path):
    (device / "way").mkdir()
    (device / "way/second").symlink_to("../etc")
    (device / "first").mkdir()
    (device / "first/link").symlink_to(device / "way/second")
    protected = ((device / "first/link/agent/credentials", "the agent's credentials"),)
    for path in ("first", "way", "etc", "etc/agent"):
        with pytest.raises(errors.HostPathForbidden):
            HostPaths(protected).check(mounts(device / path))
    HostPaths(protected).check(mounts(device / "srv"))


def test_symlinks_in_a_circle_end(device: Path):
    (device / "a").symlink_to("b/x")
    (device / "b").symlink_to("a/y")
    HostPaths(((device / "a/state", "the agent's state"),)).check(mounts(device / "srv"))


@pytest.mark.parametrize(
    ("path", "is_refused"),
    [
        *(("sysroot", True), ("sysroot/os/var", True), ("sysroot/os/var/lib/agent/new", True)),
        *(("sysroot/os/usr", False), ("srv", False), ("mnt", True), ("mnt/x", True)),
    ],
)
def test_what_another_mount_shows_is_the_agents_own_too(
    device: Path, path: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
):
    """As ostree has it: /var is a directory within what is mounted at /sysroot."""
    table = (
        f"1 0 8:1 / {device} rw - ext4 /dev/a rw",
        f"2 1 8:2 / {device}/sysroot rw - ext4 /dev/b rw",
        f"3 1 8:2 /os/var {device}/var rw - ext4 /dev/b rw",
        f"4 1 8:2 /os/var/lib {device}/mnt/x rw - ext4 /dev/b rw",
    )
    monkeypatch.setattr(mount_table, "current", lambda: mount_table.parse("\n".join(table)))
    own = HostPaths(((device / "var/lib/agent", "the agent's state"),))
    refused = pytest.raises(errors.HostPathForbidden) if is_refused else contextlib.nullcontext()
    with refused:
        own.check(mounts(device / path))


def test_the_table_of_mounts_is_read_as_the_kernel_writes_it():
    table = mount_table.parse(
        "1 0 8:1 / / rw - ext4 /dev/a rw\n2 1 8:2 / /a\\040b rw shared:1 - ext4 /dev/b rw\n"
        "3 1 8:3 /in /a\\040b rw - ext4 /dev/c rw\nodd\n"
    )
    assert table.places(Path("/a b/c")) == (("8:3", Path("/in/c")),)
    assert table.places(Path("/x")) == (("8:1", Path("/x")),)
    assert mount_table.Mounts().places(Path("/x")) == ()
    assert mount_table.current().places(Path("/proc"))


@pytest.mark.parametrize("capability", ["SYS_PTRACE", "SYS_ADMIN", "ALL"])
def test_who_may_trace_processes_may_not_look_at_them(device: Path, capability: str):
    tracer = structs.replace(mounts(Path("/proc")), capabilities=Capabilities(add=(capability,)))
    with pytest.raises(errors.HostPathForbidden, match="its capabilities"):
        guard(device).check(tracer)


def test_the_processes_may_be_looked_at(device: Path):
    guard(device).check(mounts(Path("/proc"), Path("/sys")))


@pytest.mark.parametrize("path", ["var", "var/lib/agent", "srv/link", "var/lib/agent/journal"])
def test_the_owner_may_allow_a_path_with_all_in_it(device: Path, path: str):
    guard(device, "var").check(mounts(device / path))
    guard(device, "srv/up").check(mounts(device / path))
    with pytest.raises(errors.HostPathForbidden):
        guard(device, "var").check(mounts(device / "etc"))


def test_allowing_what_lies_in_a_path_is_not_allowing_that(device: Path):
    with pytest.raises(errors.HostPathForbidden):
        guard(device, "var/lib/agent/journal").check(mounts(device / "var"))


def test_an_agent_keeps_what_its_configuration_names(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 999)
    read = settings.Settings(
        device_id=DeviceId("d"),
        nats=settings.Nats(url="nats://h:4222", credentials=Path("/c/hub.creds"), ca=Path("/c/ca")),
        state_dir=Path("/s"),
        podman=settings.Podman(socket="http+unix:///r/podman.sock"),
        registries={"r.io": settings.Registry(username="u", password_file=Path("/c/r.password"))},
        host_paths=settings.HostPaths(allow=(Path("/a"),)),
    )
    made = host_paths.of_agent(read, Path("/c/config.toml"))
    assert {str(path) for path, _ in made.protected} == {
        *("/c/config.toml", "/c/hub.creds", "/c/r.password", "/c/ca"),
        *("/s", "/r/podman.sock", "/run/user/999"),
    }
    assert made.allowed == (Path("/a"),)
