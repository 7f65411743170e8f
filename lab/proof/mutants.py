"""
Which modules are mutated, by which tests a mutant should fail, and how that went. Decides only.

A *mutant* is a module with one small change. It is *killed* by a test that fails, or by one that
no longer ends; one that *survives* is either a missing test, or `equivalent`: nobody could tell.
"""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

from rich.table import Table

from lab.proof.equivalent_mutants import EQUIVALENT

# Modules that decide, by room; the tests of `room/module` are tests/unit/room/test_module.py.
_ROOMS: Final[Mapping[str, str]] = {
    "contracts": "bounds hub kubeconfig kv messages names permissions quantities scores",
    "agent/model": "intents",
    "agent/journal": "entries framing records",
    "agent/deployments": "own_stops restart_backoff single_runs tracking",
    "agent/device": "status",
    "agent/runtimes/podman": "health planning pruning reporting",
    "agent/runtimes/podman/api": "error_messages port_holders specification",
    "bus": "greeting overwriting reading",
    "operator/decisions": "coalescing deployment_status event_correlator events finalizers"
    " junk_keys orphans publishing registration token_bucket",
    "operator/model": "aggregation custom_resources device_loads duplicate_agents"
    " name_conflicts presence shared_values store tombstones",
    "operator/model/matching": "label_index selectors",
    "operator": "controller",
    "supervision": "containment failures pulse systemd",
}

# Where a module's tests have another name, or there are more of them.
_TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "agent/deployments/restart_backoff": (
        "agent/deployments/test_restart_backoff",
        "agent/deployments/test_failing_containers",
    ),
    "agent/deployments/tracking": (
        "agent/deployments/test_tracking",
        "agent/deployments/test_own_stops",
        "agent/deployments/test_loop",
    ),
    "contracts/messages": ("contracts/test_messages", "contracts/test_bounds"),
    "contracts/scores": ("contracts/test_scores", "contracts/test_container_fields"),
    "agent/journal/entries": ("agent/journal/test_entries", "agent/journal/test_journal"),
    "agent/journal/framing": ("agent/journal/test_files", "agent/journal/test_journal"),
    "agent/journal/records": ("agent/journal/test_journal", "agent/journal/test_applied_again"),
    "operator/controller": ("operator/test_controller", "operator/test_containment"),
    "operator/model/store": ("operator/model/test_store", "operator/model/test_touched"),
    "operator/model/name_conflicts": (
        "operator/model/test_name_conflicts",
        "operator/model/test_store",
    ),
}

KILLED: Final = frozenset({"killed", "segfault"})
SURVIVED: Final = frozenset({"survived", "no tests"})


@dataclass(frozen=True, slots=True)
class Module:
    """A module that is mutated, named as below src/fleet, without its ending."""

    name: str

    @property
    def source(self) -> str:
        return f"src/fleet/{self.name}.py"

    @property
    def tests(self) -> tuple[str, ...]:
        room, _, name = self.name.rpartition("/")
        named = _TESTS.get(self.name, (f"{room}/test_{name}",))
        return tuple(f"tests/unit/{test}.py" for test in named)


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """One that survived: in which function, and what stood there instead."""

    function: str
    change: str
    diff: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the mutants of a module ended, as *statuses* count; *of* is the commit."""

    module: str
    of: str
    generated: int
    statuses: Mapping[str, int]
    survivors: tuple[Mutant, ...]

    @property
    def tried(self) -> int:
        return sum(self.statuses.values())

    @property
    def killed(self) -> int:
        return sum(self.statuses.get(status, 0) for status in KILLED)

    @property
    def timeouts(self) -> int:
        return self.statuses.get("timeout", 0)

    @property
    def score(self) -> float:
        """Tell which part of those that anybody could tell from the original was noticed."""
        distinct = self.tried - len(self.survivors) + len(self.missed)
        return (self.killed + self.timeouts) / distinct if distinct else 1.0

    @property
    def missed(self) -> tuple[Mutant, ...]:
        """List the survivors that nobody has explained."""
        return tuple(
            m for m in self.survivors if (self.module, m.function, m.change) not in EQUIVALENT
        )

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        found = json.loads(text)
        survivors = tuple(Mutant(**each) for each in found.pop("survivors"))
        return cls(**found, survivors=survivors)


def modules() -> tuple[Module, ...]:
    """List all, room by room."""
    return tuple(
        Module(f"{room}/{name}") for room, names in _ROOMS.items() for name in names.split()
    )


def choose(only: Collection[str]) -> tuple[Module, ...]:
    """
    Choose by name, or by room; without any, all.

    :raises ValueError: one of them names nothing.
    """
    known = modules()
    for each in only:
        if not any(_is_in(module, each) for module in known):
            names = ", ".join(module.name for module in known)
            raise ValueError(f"{each} is not mutated; there are {names}")
    return tuple(m for m in known if not only or any(_is_in(m, each) for each in only))


def sample(mutants: Iterable[str], count: int, seed: int) -> list[str]:
    """Choose *count* of them, the same for a seed; 0 stands for all."""
    ordered = sorted(mutants)
    if not count or count >= len(ordered):
        return ordered
    return sorted(random.Random(seed).sample(ordered, count))  # noqa: S311 - no secret


def configuration(module: Module) -> str:
    """Write mutmut's part of a pyproject.toml."""
    settings: Mapping[str, Any] = {
        "source_paths": ["src"],
        "only_mutate": [module.source],
        "also_copy": ["tests", "lab"],
        "pytest_add_cli_args_test_selection": list(module.tests),
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-p", "no:xdist"],
        "process_isolation": "forkserver",  # pytest finds parameters by their ids once a process
        # Collected once already, ids that are escaped are not found: that counts as a timeout.
        "forkserver_warmup": "none",
        "timeout_multiplier": 5.0,
        "timeout_constant": 3.0,
        "use_git_change_detection": False,
        "do_not_mutate_patterns": [r"\blog\.(debug|info|warning|error)\("],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    return "\n".join(["", "[tool.mutmut]", *lines, ""])


def mutant(name: str, diff: str) -> Mutant:
    """Describe a survivor, by mutmut's name of it and its diff."""
    mangled = name.rpartition(".")[2].rpartition("__mutmut_")[0]
    function = mangled.removeprefix("x").removeprefix("_").replace("ǁ", ".").strip(".")
    added = [line[1:].strip() for line in diff.splitlines() if _is_added(line)]
    return Mutant(function, " ".join(added), diff)


def outcome(
    module: Module, of: str, generated: int, statuses: Iterable[str], survivors: Iterable[Mutant]
) -> Outcome:
    """Sum up."""
    counts = Counter(statuses)
    return Outcome(module.name, of, generated, dict(counts), tuple(sorted(survivors)))


def table(outcomes: Sequence[Outcome]) -> Table:
    """Lay the outcomes out for people, with a sum."""
    rows = Table(box=None, pad_edge=False)
    rows.add_column("module")
    for heading in ("mutants", "tried", "killed", "timeouts", "survived", "missed", "score"):
        rows.add_column(heading, justify="right")
    for each in outcomes:
        rows.add_row(each.module, *_figures([each]))
    if len(outcomes) > 1:
        rows.add_section()
        rows.add_row("all", *_figures(outcomes))
    return rows


def record(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Put figures into words of JSON, by module."""
    return {
        each.module: {
            "commit": each.of,
            "mutants": each.generated,
            "tried": each.tried,
            "killed": each.killed,
            "timeouts": each.timeouts,
            "survived": len(each.survivors),
            "missed": len(each.missed),
            "score": round(each.score, 3),
        }
        for each in outcomes
    }


def _figures(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    noticed = sum(each.killed + each.timeouts for each in outcomes)
    missed = sum(len(each.missed) for each in outcomes)
    sums = (
        sum(each.generated for each in outcomes),
        sum(each.tried for each in outcomes),
        sum(each.killed for each in outcomes),
        sum(each.timeouts for each in outcomes),
        sum(len(each.survivors) for each in outcomes),
        missed,
    )
    known = noticed + missed
    return (*map(str, sums), f"{noticed / known:.1%}" if known else "-")


def _is_in(module: Module, name: str) -> bool:
    wanted = name.removeprefix("src/").removeprefix("fleet/").removesuffix(".py").strip("/")
    return module.name == wanted or module.name.startswith(f"{wanted}/")


def _is_added(line: str) -> bool:
    return line.startswith("+") and not line.startswith("+++")
