"""
flake.nix and flake.lock, checked without a network: nixpkgs is replaced by a list of its names.

Debian's `nix-bin` does it; where there is no Nix the tests are skipped and say so.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NIXPKGS = Path(__file__).parent / "nixpkgs"
FEATURES = "experimental-features = nix-command flakes"

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(
        shutil.which("nix") is None, reason="nix isn't here: apt-get install nix-bin"
    ),
]


class Nix:
    """Nix with a store, a state and a home of its own, beneath *place*."""

    def __init__(self, place: Path) -> None:
        self.flake = place / "flake"
        self.flake.mkdir()
        for name in ("flake.nix", "flake.lock"):
            shutil.copy(ROOT / name, self.flake)
        self._stub = place / "nixpkgs"
        shutil.copytree(NIXPKGS, self._stub)
        own = {
            name: str(place / name.lower())
            for name in (
                "NIX_STORE_DIR", "NIX_STATE_DIR", "NIX_LOG_DIR", "NIX_CONF_DIR",
                "XDG_CACHE_HOME", "HOME",
            )
        }  # fmt: skip
        self._environment = {**os.environ, **own, "NIX_CONFIG": FEATURES}

    def edit(self, old: str, new: str) -> None:
        """Change the flake, in this copy."""
        path = self.flake / "flake.nix"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def metadata(self) -> "subprocess.CompletedProcess[str]":
        """Compare the flake with its lock."""
        return self._run("flake", "metadata", f"path:{self.flake}", "--no-update-lock-file")

    def check(self) -> "subprocess.CompletedProcess[str]":
        """Evaluate every output, over the names that nixpkgs has."""
        return self._run(
            "flake", "check", f"path:{self.flake}", "--no-write-lock-file", "--no-build",
            "--override-input", "nixpkgs", f"path:{self._stub}",
        )  # fmt: skip

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["nix", *arguments, "--offline"],
            env=self._environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip


@pytest.fixture
def nix(tmp_path: Path) -> Nix:
    return Nix(tmp_path)


def test_the_lock_fits_the_flake(nix: Nix):
    found = nix.metadata()
    assert found.returncode == 0, found.stderr


def test_a_lock_of_another_input_is_noticed(nix: Nix):
    nix.edit("nixos-26.05", "nixos-25.11")
    assert nix.metadata().returncode != 0


def test_every_output_can_be_evaluated(nix: Nix):
    found = nix.check()
    assert found.returncode == 0, found.stderr


def test_a_name_that_nixpkgs_lacks_is_noticed(nix: Nix):
    nix.edit("pkgs.conmon", "pkgs.conmonn")
    found = nix.check()
    assert found.returncode != 0
    assert "conmonn" in found.stderr
