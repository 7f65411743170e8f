"""The tree itself: no stragglers, no address of a package index, and locks that agree."""

import itertools
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from lab.proof import generated

ROOT = Path(__file__).parents[2]
# Spelled so that this file doesn't name them.
WORD = "io" + "t"
STRAGGLER = re.compile(rf"(?i:\b{WORD}\b)|{WORD.upper()}_|\b{WORD.title()}[A-Z]", re.ASCII)
CUSTOMERS_DOMAIN = "docs/first-customer.md"
INDEXES = ("pypi" + ".org", "python" + "hosted.org", "golang" + ".org", "goproxy" + ".io")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\]+)", re.MULTILINE)


def texts() -> Iterator[tuple[str, str]]:
    """Read every file that is, or could be, under version control."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            yield name, (ROOT / name).read_text(errors="replace")


def lines_with(wanted: re.Pattern[str]) -> list[str]:
    """List where *wanted* stands, in names of files too."""
    return [
        f"{name}: {line.strip()}"
        for name, text in texts()
        for line in (name, *text.splitlines())
        if wanted.search(line)
    ]


def pins(lock: Path) -> dict[str, str]:
    """Read which version of what a requirement file locks."""
    found = PINNED.findall(lock.read_text())
    return {canonicalize_name(name): version for name, version in found}


def wanted_by(lock: str) -> list[Requirement]:
    """List what pyproject.toml asks for in one requirement file."""
    always = PYPROJECT["project"]["dependencies"]
    extras = PYPROJECT["project"]["optional-dependencies"]
    groups = PYPROJECT["dependency-groups"]
    asked = {
        "dev": [*always, *itertools.chain(*extras.values()), *groups["dev"]],
        "agent": [*always, *extras["agent"]],
        "operator": [*always, *extras["operator"]],
    }
    return [Requirement(text) for text in asked.get(lock) or groups[lock]]


@pytest.mark.parametrize("text", ["an %s fleet", "%s_HOME", "MY_%s_HOME", "%s/x"])
def test_a_straggler_is_recognised(text: str):
    assert STRAGGLER.search(text % WORD.upper())
    assert STRAGGLER.search(f"{WORD.title()}Device")


@pytest.mark.parametrize("text", ["a riot", "idiotic", "Patriots"])
def test_another_word_is_no_straggler(text: str):
    assert not STRAGGLER.search(text)


def test_the_first_customers_domain_is_named_on_its_own_page_only():
    found = lines_with(STRAGGLER)
    assert [line for line in found if not line.startswith(CUSTOMERS_DOMAIN)] == []


def test_no_package_index_is_named():
    addresses = "|".join(re.escape(index) for index in INDEXES)
    # Go's own import paths (`golang.org/x/…`) are names of modules.
    assert lines_with(re.compile(rf"(?:https?://|\b(?:proxy|sum|files)\.)\S*(?:{addresses})")) == []


def test_every_requirement_file_is_compiled_by_a_task():
    compiled = {suite.command[-1] for suite in generated.locks(upgrade=False)}
    assert compiled == {f"requirements/{lock.name}" for lock in LOCKS}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_a_requirement_file_locks_what_pyproject_asks_for(lock: Path):
    locked = pins(lock)
    for requirement in wanted_by(lock.stem):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement} isn't locked: type ./dev invoke lock"
        assert requirement.specifier.contains(version, prereleases=True), f"{requirement}"


@pytest.mark.parametrize("part", ["operator", "hosts"])
def test_the_lab_by_itself_has_what_it_runs(part: str):
    extras = PYPROJECT["project"]["optional-dependencies"]
    assert set(extras[part]) <= set(extras["lab"])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_every_locked_package_has_a_digest(lock: Path):
    entries = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)
    assert [entry for entry in entries if entry and "--hash=sha256:" not in entry] == []


def test_the_requirement_files_agree_on_versions():
    dev = pins(ROOT / "requirements" / "dev.txt")
    for lock in LOCKS:
        other = {name: version for name, version in pins(lock).items() if name in dev}
        assert other.items() <= dev.items(), lock.name
