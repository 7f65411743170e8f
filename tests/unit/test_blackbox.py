"""The black-box suite judges from outside: it reaches no module of Fleet, nor of the lab."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
JUDGED = {"fleet", "lab"}
# NATS spoken by hand, which judges the soak too: it may reach nothing but the standard library.
JUDGE = "lab.soak.judgement.wire"


def test_the_black_box_suite_imports_nothing_of_what_it_judges():
    reached = set(_reached(*(ROOT / "tests/blackbox").glob("*.py")))

    assert ROOT / "tests/using_lab/waiting.py" in reached, "what it imports is followed"
    assert {
        (path.name, name)
        for path in reached
        for name in _imports(path)
        if name.partition(".")[0] in JUDGED and not f"{name}.".startswith(f"{JUDGE}.")
    } == set()


def test_the_wire_that_it_judges_by_is_made_of_the_standard_library_alone():
    parts = JUDGE.split(".")
    packages = [_place(".".join([*parts[:end], "__init__"])) for end in range(1, len(parts))]
    reached = {name for path in (*packages, _place(JUDGE)) for name in _imports(path)}
    assert {name.partition(".")[0] for name in reached} <= sys.stdlib_module_names


def _reached(*paths: Path) -> Iterator[Path]:
    """Follow imports from *paths* through our own tests."""
    seen, ahead = set[Path](), list(paths)
    while ahead:
        path = ahead.pop()
        if path not in seen:
            seen.add(path)
            ahead += filter(Path.is_file, (_place(name) for name in _imports(path)))
    yield from seen


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _place(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")
