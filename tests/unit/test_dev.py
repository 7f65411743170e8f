"""`./dev` says what it is, and what is wrong, before it does anything."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEV = (ROOT / "dev").read_text()
PINS = ("dev", "pyproject.toml", "requirements", "toolchain", "lab/toolchain")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment."""
    for pin in PINS:
        (tmp_path / pin).parent.mkdir(exist_ok=True)
        copy = shutil.copytree if (ROOT / pin).is_dir() else shutil.copy
        copy(ROOT / pin, tmp_path / pin)
    return tmp_path


@pytest.fixture
def made(checkout: Path) -> Path:
    """A checkout whose environment is made; each program in it tells what it was called with."""
    programs = checkout / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("python", "uv", "invoke"):
        (programs / name).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (programs / name).chmod(0o755)
    locks = (checkout / "requirements" / f"{name}.txt" for name in ("dev", "build", "uv"))
    pins = b"".join(path.read_bytes() for path in (checkout / "pyproject.toml", *locks))
    (checkout / ".venv" / "fleet-python").write_text(hashlib.sha256(pins).hexdigest())
    return checkout


def dev(checkout: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [checkout / "dev", *command],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "HARMONY_DATA_DIR": str(checkout / "data"), **environment},
        check=False,
        capture_output=True,
        text=True,
    )


def test_help_explains_the_command(checkout: Path):
    done = dev(checkout, "--help")
    assert done.returncode == 0
    assert "./dev invoke lab.up" in done.stdout
    assert not done.stderr


def test_without_a_command_it_explains_itself_and_fails(checkout: Path):
    done = dev(checkout)
    assert done.returncode == 2
    assert "usage: ./dev COMMAND" in done.stderr


@pytest.mark.parametrize("variable", ["HARMONY_DATA_DIR", "XDG_DATA_HOME"])
@pytest.mark.parametrize("value", ["data", "~/data"])
def test_a_relative_data_directory_is_refused(made: Path, variable: str, value: str):
    done = dev(made, "invoke", "check", **{"HARMONY_DATA_DIR": "", variable: value})
    assert done.returncode == 2
    assert done.stderr == (
        f"dev: {variable}={value} is not an absolute path: write it with a leading /\n"
    )
    assert not done.stdout


@pytest.mark.parametrize("value", ["/dev/null", "/dev/null/below"])
def test_a_data_directory_that_is_none_is_refused(made: Path, value: str):
    done = dev(made, "invoke", "check", HARMONY_DATA_DIR=value)
    assert done.returncode == 2
    assert done.stderr == (
        f"dev: {value} can't be a directory, since /dev/null is none;"
        " choose another with HARMONY_DATA_DIR\n"
    )
    assert not done.stdout


def test_a_relative_directory_that_is_not_asked_for_is_no_reason_to_refuse(made: Path):
    assert dev(made, "invoke", "check", XDG_DATA_HOME="data").returncode == 0


def test_a_python_that_is_too_old_is_named(checkout: Path):
    done = dev(checkout, "python", FLEET_PYTHON="/bin/false")
    assert done.returncode == 1
    assert "FLEET_PYTHON=/bin/false is no Python >= 3.11" in done.stderr
    assert not (checkout / ".venv").exists()


def test_a_checkout_that_lacks_a_pin_is_refused(checkout: Path):
    (checkout / "requirements" / "dev.txt").unlink()
    done = dev(checkout, "python")
    assert done.returncode != 0
    assert "requirements/dev.txt" in done.stderr


def test_the_tasks_are_those_of_the_checkout_wherever_it_is_called_from(made: Path):
    done = dev(made, "invoke", "check", "--help")
    assert done.stdout.splitlines() == [
        "--write-pyc",
        "--search-root",
        str(made),
        "check",
        "--help",
    ]
    assert done.returncode == 0


def test_no_test_is_skipped_for_a_package_that_the_test_command_does_not_bring():
    known = re.findall(r"^readonly \w+_PROGRAMS=\((.*?)\)", DEV, re.DOTALL | re.MULTILINE)
    brought = {entry.partition(":")[2] for block in known for entry in block.split()}
    asked = {
        package
        for module in (ROOT / "tests").rglob("*.py")
        for package in re.findall(
            r"isn't here\W+(?:apt-get )?install ([a-z0-9.+-]+)", module.read_text()
        )
    }
    assert {"nix-bin", "openssh-server"} <= asked
    assert asked <= brought


def test_what_one_command_compiled_the_next_need_not_compile(made: Path):
    (made / ".venv" / "bin" / "python").write_text("#!/bin/sh\nenv\n")

    said = dev(made, "python", PYTHONDONTWRITEBYTECODE="1").stdout

    assert "VIRTUAL_ENV=" in said
    assert "PYTHONDONTWRITEBYTECODE" not in said
