"""Programs are found on the PATH."""

import pytest

from lab.errors import PreflightFailed
from lab.system.programs import program


def test_a_program_is_named_by_its_whole_path(tmp_path, monkeypatch):
    found = tmp_path / "part"
    found.write_text("#!/bin/sh\n")
    found.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program("part") == str(found)


def test_a_missing_program_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PreflightFailed, match="part") as caught:
        program("part")
    assert caught.value.hint == "run it through ./dev"
