"""A small Go module is built by a real Go, as the toolchain's parts are."""

import subprocess
from pathlib import Path

import pytest

from fleet import directories
from lab.toolchain.builders import BuildFailed, SourceBuilder
from lab.toolchain.parts import GoModule, Part, Program

ROOT = Path(__file__).parents[3]
# Its one dependency lies beside it: nothing is downloaded.
GO_MOD = """module example.invalid/tiny/v3

go 1.26.0

require example.invalid/dep v1.2.3

replace example.invalid/dep => ./dep
"""
MAIN = """package main

import "fmt"

var version = "unknown"

func main() { fmt.Println("tiny", version) }
"""
TINY = Part(
    "tiny",
    GoModule("tiny", "example.invalid/dep", stamp="main.version"),
    (Program("small", "example.invalid/tiny/v3"),),
)

pytestmark = pytest.mark.timeout(300)  # Go's own packages are compiled once per machine


@pytest.fixture
def builder(tmp_path: Path) -> SourceBuilder:
    module = tmp_path / "tiny"
    (module / "dep").mkdir(parents=True)
    (module / "go.mod").write_text(GO_MOD)
    (module / "main.go").write_text(MAIN)
    (module / "dep" / "go.mod").write_text("module example.invalid/dep\n\ngo 1.26.0\n")
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    return SourceBuilder(tmp_path, directories.cache_dir() / "tools", lambda _: None)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    directory = tmp_path / "out"
    directory.mkdir()
    return directory


def test_a_program_is_built_under_its_name_and_tells_the_pinned_version(
    builder: SourceBuilder, out: Path
):
    builder.build(TINY, out)
    done = subprocess.run([out / "small"], check=True, capture_output=True, text=True)
    assert done.stdout == "tiny v1.2.3\n"


def test_a_program_of_another_version_is_refused(builder: SourceBuilder, out: Path):
    (builder.root / "tiny" / "main.go").write_text(MAIN.replace('"tiny", version', '"tiny v9"'))
    with pytest.raises(BuildFailed, match=r"should be 1\.2\.3, and says 'tiny v9'"):
        builder.build(TINY, out)


def test_a_failed_build_shows_what_the_compiler_said(builder: SourceBuilder, out: Path):
    (builder.root / "tiny" / "main.go").write_text("package main\n\nfunc main() { nothing() }\n")
    with pytest.raises(BuildFailed, match="undefined: nothing"):
        builder.build(TINY, out)
