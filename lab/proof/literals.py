"""
Checks every address and name that is written out in the code, before anything runs.

    python -m lab.proof.literals

Wherever a string stands as it is in a call of `KvmHost`, `MacAddress`, `DeviceId` or
`DeploymentName`, that type itself is asked whether it takes it. A string that is computed, an
f-string too, is not a literal. A call that is *meant* to fail marks itself by where it stands: in
the block of a `with pytest.raises(…)`.
"""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fleet import errors
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.scores.kvm.addresses import MacAddress
from fleet.scores.kvm.hosts import KvmHost

DIRECTORIES = ("src", "lab", "tests", "examples")
CHECKED: Mapping[str, Callable[[str], object]] = MappingProxyType(
    {checked.__name__: checked for checked in (KvmHost, MacAddress, DeviceId, DeploymentName)}
)
_MEANT_TO_FAIL = "raises"


@dataclass(frozen=True, slots=True)
class Problem:
    """A literal that its type doesn't take."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Literal:
    """A string in a call of one of the checked types."""

    line: int
    type: str
    value: str

    def problem(self) -> Problem | None:
        """Ask the type."""
        try:
            CHECKED[self.type](self.value)
        except (errors.FleetError, ValueError) as exc:
            return Problem(self.line, f"{self.type}({self.value!r}): {exc}")
        return None


def problems(source: str) -> tuple[Problem, ...]:
    """Find what is wrong in the text of one module."""
    found = (literal.problem() for literal in literals(ast.parse(source)))
    return tuple(problem for problem in found if problem is not None)


def literals(module: ast.Module) -> Iterator[Literal]:
    """Find what is to be checked in *module*, by whatever names it imports the types."""
    yield from _below(module, _names(module))


def _names(module: ast.Module) -> Mapping[str, str]:
    """Map what the module calls the types to what they are called."""
    aliases = {
        alias.asname: alias.name
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname and alias.name in CHECKED
    }
    return {**{name: name for name in CHECKED}, **aliases}


def _below(node: ast.AST, names: Mapping[str, str]) -> Iterator[Literal]:
    if isinstance(node, ast.With | ast.AsyncWith) and any(map(_is_meant_to_fail, node.items)):
        return
    if isinstance(node, ast.Call) and (type_ := names.get(_called(node))):
        for argument in (*node.args[:1], *(keyword.value for keyword in node.keywords)):
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield Literal(argument.lineno, type_, argument.value)
    for child in ast.iter_child_nodes(node):
        yield from _below(child, names)


def _is_meant_to_fail(item: ast.withitem) -> bool:
    return isinstance(item.context_expr, ast.Call) and _called(item.context_expr) == _MEANT_TO_FAIL


def _called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def modules(root: Path) -> Iterator[Path]:
    """List the modules of the checkout at *root*, those too that aren't added yet."""
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--")
    done = subprocess.run((*listed, *DIRECTORIES), cwd=root, capture_output=True, check=True)
    for name in sorted(set(done.stdout.decode().split("\0"))):
        if name.endswith(".py") and (root / name).exists():
            yield root / name


def main(root: Path) -> int:
    """Print `file:line: reason` for each, and return the status to end with."""
    found = [
        f"{path.relative_to(root)}:{problem.line}: {problem.what}"
        for path in modules(root)
        for problem in problems(path.read_text())
    ]
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
