"""`settings`: what is accepted, and how a mistake is told."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent import main, settings

WHOLE = """
device_id = "dev-01"
state_dir = "/srv/fleet"
[labels]
site = "lab"
"example.com/rack" = "r1"
[nats]
url = "nats://10.0.0.1:4222,nats://10.0.0.2:4222"
credentials = "/etc/fleet-agent/credentials.json"
heartbeat_interval = 4
[podman]
socket = "unix:///tmp/podman.sock"
ulimits = {nofile = 1024, nproc = 1000}
log_max_size = ""
[host_paths]
allow = ["/srv"]
[log]
format = "console"
level = "debug"
"""
SMALLEST = 'device_id = "dev-01"\n[nats]\nurl = "nats://x:4222"\n'


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The configuration file."""
    return tmp_path / "config.toml"


def test_every_setting_is_read(config: Path):
    config.write_text(WHOLE)
    read = settings.load(config)
    assert read.device_id == "dev-01"
    assert read.state_dir == Path("/srv/fleet")
    assert read.labels == {"site": "lab", "example.com/rack": "r1"}
    assert read.nats.credentials == Path("/etc/fleet-agent/credentials.json")
    assert read.nats.heartbeat_interval == 4
    assert read.podman.ulimits == {"nofile": 1024, "nproc": 1000}
    assert read.podman.log_max_size == ""
    assert read.host_paths.allow == (Path("/srv"),)
    assert read.log.format is settings.LogFormat.CONSOLE


def test_two_settings_are_enough(config: Path):
    config.write_text(SMALLEST)
    read = settings.load(config)
    assert read.podman.socket == "unix:///run/podman/podman.sock"
    assert read.state_dir == Path("/var/lib/fleet-agent")
    assert read.log == settings.Log()
    assert read.podman.log_max_size == "30Mi"
    assert read.host_paths.allow == ()
    assert read.nats.heartbeat_interval == 10


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("state_dir = 'here'\n" + SMALLEST, 1, "state_dir: 'here' is not an absolute path"),
        ("state_dir = 7\n" + SMALLEST, 1, "state_dir: Expected"),
        (SMALLEST + "heartbeat_interval = 0\n", 4, "nats.heartbeat_interval: Expected"),
        (SMALLEST + "heartbeat_interval = 3601\n", 4, "nats.heartbeat_interval: Expected"),
        (SMALLEST + "colour = 1\n", 4, "unknown key 'colour'"),
        ("colour = 1\n" + SMALLEST, 1, "unknown key 'colour'"),
        (SMALLEST + "[nots]\n", 4, "unknown key 'nots'"),
        (SMALLEST + "[podman]\nsockt = 'x'\n", 5, "unknown key 'sockt'"),
        (SMALLEST + "[podman]\nsocket = 7\n", 5, "podman.socket: Expected 'str', got 'int'"),
        (SMALLEST + "[podman]\nsocket = 'x'\n", 5, "'x' is not like unix:///path"),
        (SMALLEST + "[podman]\nulimits = {nofile = 0}\n", 5, "podman.ulimits"),
        (SMALLEST + "[podman]\nlog_max_size = '30'\n", 5, "podman.log_max_size"),
        (SMALLEST + "[host_paths]\nallow = ['srv']\n", 5, "'srv' is not an absolute path"),
        (SMALLEST + "[log]\nlevel = 'loud'\n", 5, "log.level: Invalid enum value 'loud'"),
        (SMALLEST + "[labels]\nsite = 1\n", 4, "labels: Expected 'str'"),
        (SMALLEST + "[labels]\n'nationtech.io/x' = ''\n", 5, "not the agent's to set"),
        (SMALLEST + "[labels]\n'app.kubernetes.io/x' = ''\n", 5, "not the agent's to set"),
        (SMALLEST + "[labels]\nsite = 'not a value'\n", 5, "is not a label value"),
        ('[nats]\nurl = "nats://x"\n', 1, "missing key 'device_id'"),
        ('device_id = "dev-01"\n[nats]\n', 2, "nats: missing key 'url'"),
        ('device_id = "dev-01"\n', 1, "missing key 'nats'"),
        ('device_id = "Dev"\n[nats]\nurl = "nats://x"\n', 1, "'D' is not a lower-case letter"),
        ('device_id = "a.b"\n[nats]\nurl = "nats://x"\n', 1, "'.' is not a lower-case letter"),
        ('device_id = "-a"\n[nats]\nurl = "nats://x"\n', 1, "begin and end with"),
        ('device_id = ""\n[nats]\nurl = "nats://x"\n', 1, "it is empty"),
        (f'device_id = "{"a" * 64}"\n[nats]\nurl = "nats://x"\n', 1, "64 characters"),
        ('device_id = 5\n[nats]\nurl = "nats://x"\n', 1, "Expected 'str', got 'int'"),
        ('device_id = "a"\n[nats]\nurl = "10.0.0.1"\n', 3, "is not like nats://host:4222"),
        ('device_id = "a"\n[nats]\nurl = "ws://x"\n', 3, "is not like nats://host:4222"),
        ('device_id = "a"\n[nats]\nurl = "nats://me:hush@x"\n', 3, "holds no user, password"),
        ('device_id = "a"\n[nats]\nurl = "nats://x,tls://hush@y"\n', 3, "holds no user, password"),
        ('device_id = "a"\nnot toml\n', 2, "line 2"),
        ('device_id = "a', 1, ""),
        (SMALLEST + "[registries.'r.io:5000']\nuser = 'x'\n", 5, "unknown key 'user'"),
        (SMALLEST + "[registries.'r.io']\ninsecure = 1\n", 5, "Expected 'bool', got 'int'"),
        (SMALLEST + "[registries.'https://r.io']\n", 4, "is not like registry.local:5000"),
        (SMALLEST + "[registries.'r.io']\nusername = 'x'\n", 5, "needs a password_file"),
        (SMALLEST + "[registries.'r.io']\npassword_file = 'x'\n", 5, "needs a username"),
        (
            SMALLEST + "[registries.a]\n[registries.'r.io']\nusername = 'x'\n"
            "password_file = '/nowhere/password'\n",
            7,
            "/nowhere/password: No such file or directory",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_and_reason(
    text: str, line: int, reason: str, config: Path
):
    config.write_text(text)
    with pytest.raises(errors.InvalidConfig) as caught:
        settings.load(config)
    assert str(caught.value).startswith(f"{config}:{line}: "), str(caught.value)
    assert reason in str(caught.value)


def test_a_password_that_others_could_read_or_that_is_none_is_told_with_its_line(
    config: Path, tmp_path: Path
):
    password = tmp_path / "password"
    entry = f"[registries.'r.io']\nusername = 'x'\npassword_file = '{password}'\n"
    config.write_text(SMALLEST + entry)
    password.write_text("secret\n")
    password.chmod(0o640)
    with pytest.raises(
        errors.InvalidConfig, match=f":6: .*{password} is open to others: chmod 600"
    ):
        settings.load(config)
    password.chmod(0o600)
    assert settings.load(config).registries["r.io"].password_file == password
    password.write_text("\n")
    with pytest.raises(errors.InvalidConfig, match=f":6: .*{password} is empty"):
        settings.load(config)


def test_a_file_that_is_not_there_is_told(config: Path):
    with pytest.raises(errors.InvalidConfig, match="there is no such file"):
        settings.load(config)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path):
    with pytest.raises(errors.InvalidConfig, match="Is a directory"):
        settings.load(tmp_path)


def test_a_file_that_is_not_text_is_told(config: Path):
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(errors.InvalidConfig, match="not UTF-8"):
        settings.load(config)


def test_check_config_tells_good_from_bad(config: Path, capsys: pytest.CaptureFixture[str]):
    config.write_text(SMALLEST)
    assert main.main(["--config", str(config), "check-config"]) == 0
    config.write_text("x = 1")
    assert main.main(["--config", str(config), "check-config"]) != 0
    assert f"{config}:1: " in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main.main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("fleet-agent ")


def missing(tmp_path: Path) -> Path:
    """No file."""
    return tmp_path / "none.toml"


def directory(tmp_path: Path) -> Path:
    """A directory."""
    return tmp_path


def empty(tmp_path: Path) -> Path:
    """A file of no bytes."""
    path = tmp_path / "empty.toml"
    path.write_bytes(b"")
    return path


def binary(tmp_path: Path) -> Path:
    """A file that isn't text."""
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    return path


@pytest.mark.parametrize("make", [missing, directory, empty, binary])
@pytest.mark.parametrize("command", ["run", "check-config", "status"])
def test_no_command_starts_with_a_file_that_is_none(
    make: Callable[[Path], Path],
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    path = make(tmp_path)
    monkeypatch.setenv("FLEET_AGENT_CONFIG", str(path))
    assert main.main([command]) == 78
    assert f"fleet-agent: {path}" in capsys.readouterr().err


def test_help_names_the_exit_statuses(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main.main(["--help"])
    said = capsys.readouterr().out
    assert "no agent runs here" in said
    assert "78  the configuration is wrong" in said
