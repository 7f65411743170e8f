"""Every pattern of Fleet: it ends where the text ends, and says so within a moment."""

import ast
import importlib
import itertools
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import inspect

import fleet
from fleet.contracts import patterns
from fleet.contracts.checking import Form

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "lab").rglob("*.py"))
# Matched as a whole where Python reads it; its `$` is for other readers.
SEARCHES = {"compile", "match", "search", "sub", "finditer", "findall", "split"}
LAB_SCHEMAS = "lab/"  # written into a JSON Schema; `lab.documents` reads them as Python does
UNITS = ["".join(unit) for n in (1, 2, 3) for unit in itertools.product('/a.-0[" :', repeat=n)]
PUMPED = 40
TAILS = ("", "\n", "!", "/.", "\x00")


def test_no_pattern_takes_the_place_before_a_last_newline_for_the_end():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {pattern}"
        for path in SOURCES
        for line, pattern in _searched(ast.parse(path.read_text()), path)
        if re.search(r"(?<!\\)\$$", pattern)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ('re.compile("^a$")', ["^a$"]),
        ('re.compile("^a$", re.MULTILINE)', []),
        ('re.search("a$", text)', ["a$"]),
        ('re.fullmatch("a$", text)', []),
        ('Meta(pattern="^a$")', ["^a$"]),
        ("Meta(pattern=LABEL)", ["LABEL$"]),
        ('Meta(pattern=whole("^a$"))', []),
    ],
)
def test_the_search_for_such_patterns_finds_what_it_shall(code: str, seen: list[str]):
    assert [pattern for _, pattern in _searched(ast.parse(code), ROOT / "src/x.py")] == seen


def _searched(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """List the patterns that are given to something that doesn't match the whole text."""
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call):
            continue
        name = (
            call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        )
        if name == "Meta" and not str(path.relative_to(ROOT)).startswith(LAB_SCHEMAS):
            given = [keyword.value for keyword in call.keywords if keyword.arg == "pattern"]
        elif name in SEARCHES and ast.unparse(call.func).startswith("re."):
            given = call.args[:1] if "MULTILINE" not in ast.unparse(call) else []
        else:
            continue
        for pattern in given:
            if isinstance(pattern, ast.Constant):
                yield call.lineno, str(pattern.value)
            elif name == "Meta" and not isinstance(pattern, ast.Call):
                yield call.lineno, f"{ast.unparse(pattern)}$"


def _modules() -> Iterator[Any]:
    for found in pkgutil.walk_packages(fleet.__path__, "fleet."):
        if found.name != "fleet.scores.kvm.connection" and "libvirt" not in found.name:
            yield importlib.import_module(found.name)


def _patterns() -> dict[str, str]:
    """Collect by name what Fleet compiles, holds as a form, or has msgspec check."""
    found: dict[str, str] = {}
    for module in _modules():
        for name, value in vars(module).items():
            match value:
                case re.Pattern(pattern=str(pattern)) | Form(pattern=pattern):
                    found[f"{module.__name__}.{name}"] = pattern
                case type() if issubclass(value, msgspec.Struct):
                    found |= dict(_of_fields(value))
                case _:
                    pass
    return found


def _of_fields(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str]]:
    for field in inspect.type_info(struct).fields:  # type: ignore[attr-defined]
        for inner in (
            field.type,
            getattr(field.type, "key_type", None),
            getattr(field.type, "item_type", None),
        ):
            if isinstance(inner, inspect.StrType) and inner.pattern:
                yield f"{struct.__name__}.{field.name}", inner.pattern


PATTERNS = _patterns()


def test_patterns_are_found_wherever_they_stand():
    assert {
        "fleet.contracts.checking.MOUNT_PATH",
        "fleet.contracts.device_labels.KEY",
        "fleet.agent.settings._HEADER",
        "Service.image",
    } <= PATTERNS.keys()


@pytest.mark.parametrize("name", PATTERNS)
def test_a_text_that_does_not_fit_is_refused_within_a_moment(name: str):
    compiled = re.compile(PATTERNS[name])
    for unit, tail in itertools.product(UNITS, TAILS):
        text = unit * PUMPED + tail
        compiled.search(text)
        compiled.fullmatch(text)


@pytest.mark.parametrize("portable", ["^a$", "^(a|b)$", r"^\$$"])
def test_a_pattern_is_spelled_for_python_and_back(portable: str):
    assert patterns.portable(patterns.whole(portable)) == portable
    text = "a" if "a" in portable else "$"
    assert re.search(patterns.whole(portable), text)
    assert not re.search(patterns.whole(portable), f"{text}\n")
