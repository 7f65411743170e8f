"""
The agent's own Python environment, as on a real device: `requirements/agent.txt`, and nothing else.

Made once under the cache, compiled, for all devices of all labs; keyed by the digest of the pins,
the interpreter and this checkout, whose ``src`` it imports (an editable install, written by hand:
no build tools on a device).
"""

import shutil
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from fleet import directories
from fleet.scores.score import Score
from lab.host import files
from lab.host.lab_host import LabHost
from lab.system import commands, locks

ROOT = Path(__file__).resolve().parents[2]
_PINS = ROOT / "requirements" / "agent.txt"
_SCRIPT = """\
#!{python}
import sys
from fleet.agent.main import main
sys.exit(main())
"""


@dataclass(frozen=True)
class AgentEnvironmentScore(Score[LabHost]):
    """The agent can be run from an environment of its own."""

    @property
    def name(self) -> str:
        return "agent environment"

    def differences(self, topology: LabHost) -> tuple[str, ...]:
        del topology
        return () if _is_complete(environment()) else (f"{environment()} is missing",)

    def bring_about(self, topology: LabHost) -> None:
        where = environment()
        where.parent.mkdir(parents=True, exist_ok=True)
        with locks.beside(where):
            if not _is_complete(where):
                topology.saw("installing requirements/agent.txt")
                _make(where)


def environment() -> Path:
    """Return where the agent's environment is, or is to be."""
    key = files.digest(_PINS.read_bytes(), sys.version, str(ROOT))
    return directories.cache_dir() / "envs" / f"agent-{key}"


def agent() -> Path:
    """Return the agent's program."""
    return environment() / "bin" / "fleet-agent"


def _is_complete(where: Path) -> bool:
    return (where / "complete").exists()


def _make(where: Path) -> None:
    shutil.rmtree(where, ignore_errors=True)
    if not _from_cache(where):
        shutil.rmtree(where, ignore_errors=True)
        _from_index(where)
    _import_checkout(where)
    (where / "complete").touch()


def _from_cache(where: Path) -> bool:
    """Install what `./dev` has fetched already: takes a second and no network."""
    uv = Path(sys.executable).parent / "uv"
    if not uv.exists():
        return False
    made = commands.ask(str(uv), "venv", "--no-project", "--python", sys.executable, str(where))
    return made.ok and commands.ask(
        str(uv), "pip", "install", "--offline", "--require-hashes", "--no-deps",
        "--compile-bytecode", "--python", str(where / "bin/python"), "-r", str(_PINS), within=300,
    ).ok  # fmt: skip


def _from_index(where: Path) -> None:
    """Install with pip, from wherever this machine's pip is told to look."""
    commands.run(sys.executable, "-m", "venv", str(where), within=120)
    commands.run(
        str(where / "bin/python"), "-m", "pip", "install", "--quiet", "--require-hashes",
        "--only-binary", ":all:", "-r", str(_PINS), within=600,
    )  # fmt: skip


def _import_checkout(where: Path) -> None:
    packages = next((where / "lib").glob("python3*/site-packages"))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    files.write(packages / "fleet.pth", f"{ROOT / 'src'}\n")
    about = f"Metadata-Version: 2.1\nName: fleet\nVersion: {version}\n"
    files.write(packages / f"fleet-{version}.dist-info" / "METADATA", about)
    script = _SCRIPT.format(python=where / "bin" / "python")
    files.write(where / "bin" / "fleet-agent", script, 0o755)
