"""
YAML files that people write, checked against a JSON Schema: all that is wrong at once, with lines.

A key that stands twice is an error too: YAML itself would silently take the last one.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from fleet.contracts import patterns

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Path: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """What is wrong, and where."""

    line: int
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.line}: {self.place}: {self.reason}" if self.place else self.shortly

    @property
    def shortly(self) -> str:
        """Write it without its place."""
        return f"{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Document:
    """A file's *value*, the line on which each part of it begins, and what YAML let pass."""

    value: Any
    lines: Mapping[Path, int]
    problems: tuple[Problem, ...] = ()

    def line(self, path: Sequence[str | int]) -> int:
        """Find the line of *path*, or of the closest part around it."""
        whole = tuple(map(str, path))
        return next(
            self.lines[whole[:n]] for n in range(len(whole), -1, -1) if whole[:n] in self.lines
        )

    def problem(self, path: Sequence[str | int], reason: str) -> Problem:
        """Say that something is wrong at *path*."""
        return Problem(self.line(path), _place(path), reason)


def read(text: str) -> Document:
    """Read YAML; text that is none becomes a document whose one problem says so."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return Document({}, {(): 1})
        lines: dict[Path, int] = {}
        problems = tuple(_walk(node, (), lines, frozenset()))
        value = loader.construct_document(node)
        return Document({} if value is None else value, lines, problems)
    except yaml.YAMLError as exc:
        return Document(None, {(): 1}, (_complaint(exc),))
    except RecursionError:
        return Document(None, {(): 1}, (Problem(1, "", "it is nested too deeply to be read"),))
    finally:
        loader.dispose()


def check(document: Document, schema: Mapping[str, Any]) -> tuple[Problem, ...]:
    """List everything in which *document* breaks *schema*, by line."""
    # Late: it takes a tenth of a second, and most commands of the lab read no file.
    from jsonschema import Draft202012Validator  # noqa: PLC0415

    if document.value is None:
        return document.problems
    found = Draft202012Validator(_in_python(schema)).iter_errors(document.value)
    broken = (problem for error in found for problem in _explain(document, error))
    return tuple(sorted((*document.problems, *broken)))


def _in_python(schema: Any) -> Any:
    """Spell the patterns of *schema* as Python's `re` reads them; an editor's reader differs."""
    match schema:
        case {"pattern": str(pattern), **rest}:
            return {"pattern": patterns.whole(pattern), **_in_python(rest)}
        case Mapping():
            return {key: _in_python(value) for key, value in schema.items()}
        case list():
            return [_in_python(value) for value in schema]
        case _:
            return schema


def _walk(
    node: yaml.Node, path: Path, lines: dict[Path, int], around: frozenset[int]
) -> Iterator[Problem]:
    """Note where each part begins, and find keys that stand twice."""
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in around:
        return  # an alias of something around it
    within = around | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _walk(item, (*path, str(index)), lines, within)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            line = key.start_mark.line + 1
            if here in lines:
                reason = f"the key stands here and in line {lines[here]}"
                yield Problem(line, _place(here), reason)
            lines[here] = line
            yield from _walk(value, here, lines, within)


def _explain(document: Document, error: "ValidationError") -> Iterator[Problem]:
    path = list(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = sorted(_rules(error).get("properties", ()))
        for key in error.instance:
            if key not in known:
                yield document.problem((*path, str(key)), _unknown(str(key), known))
        return
    if "propertyNames" in error.absolute_schema_path:
        path.append(str(error.instance))
    yield document.problem(path, _reason(error))


def _reason(error: "ValidationError") -> str:
    """Say what is wrong; where the schema has words for what it wants, in these."""
    rules = _rules(error)
    match error.validator:
        case "pattern" | "minItems" if meant := rules.get("description"):
            return f"{error.instance!r} is not {meant}"
        case "required":
            # jsonschema names what is missing in its message alone.
            about = (rules.get("properties", {}).get(name, {}) for name in _missing(error))
            meant = next((rule["description"] for rule in about if "description" in rule), "")
            return f"{error.message}: {meant}" if meant else str(error.message)
        case _:
            return str(error.message)


def _missing(error: "ValidationError") -> Iterator[str]:
    for name in _rules(error).get("required", ()):
        if str(error.message).startswith(repr(name)):
            yield name


def _rules(error: "ValidationError") -> Mapping[str, Any]:
    return error.schema if isinstance(error.schema, Mapping) else {}


def _unknown(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"unknown key; {hint}"


def _complaint(error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
    return Problem(mark.line + 1 if mark else 1, "", f"this is no YAML: {reason}")


def _place(path: Sequence[str | int]) -> str:
    """Write a path as people do: ``devices[0].labels``."""
    place = "".join(f"[{part}]" if str(part).isdecimal() else f".{part}" for part in path)
    return place.removeprefix(".")
