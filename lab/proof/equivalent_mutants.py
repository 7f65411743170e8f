"""
Mutants that nobody could tell from the original, each with the reason. Decides only.

`invoke test.mutants` leaves them out of its score and of what it shows, so that a new survivor
stands out. An entry names the module, the function, and the line that stood there instead.
"""

from collections.abc import Mapping
from typing import Final

_BEGUN: Final = "begin() sets it before anybody reads it"
_LOOKED: Final = "look() sets it before anybody reads it"
_SECOND: Final = "runs of less than half of SETTLED_SECONDS are all told and treated alike"

EQUIVALENT: Final[Mapping[tuple[str, str, str], str]] = {
    (
        "agent/deployments/own_stops",
        "OwnStops.interrupted",
        "replace(c, exit_code=0, finished=1, out_of_memory=False)",
    ): "every run begins later than that second",
    (
        "agent/deployments/tracking",
        "Tracker._plan",
        "assert_never(None)",
    ): "never reached: for the type checker",
    (
        "agent/deployments/tracking",
        "Tracker.__init__",
        "self._ran: Mapping[str, Run] = None",
    ): _LOOKED,
    (
        "agent/deployments/tracking",
        "Tracker.__init__",
        "self._other_nodes: frozenset[str] = None",
    ): _LOOKED,
    (
        "agent/deployments/restart_backoff",
        "RestartBackoff._count",
        "record.deaths, record.longest = 0, 1.0",
    ): _SECOND,
    (
        "agent/deployments/restart_backoff",
        "RestartBackoff._note_running",
        "record.deaths, record.longest = 0, 1.0",
    ): _SECOND,
    (
        "agent/deployments/restart_backoff",
        "RestartBackoff.started",
        'record.death = ""',
    ): "no death equals it, as none equals None",
    (
        "agent/runtimes/podman/api/specification",
        "_limits_found",
        '"cpus": (asked.get("cpu", {}).get("quota", None), found.get("CpuQuota", 0)),',
    ): "only whether it was asked for is looked at then",
    (
        "agent/runtimes/podman/api/specification",
        "_limits_found",
        '"cpus": (asked.get("cpu", {}).get("quota", 0), found.get("CpuQuota", )),',
    ): "it differs from whatever was asked for, as 0 does",
    (
        "agent/runtimes/podman/reporting",
        "_judge_health",
        "return _Finding(None)",
    ): "what neither failed nor is pending runs",
    (
        "contracts/bounds",
        "_printable",
        'return " " if character in "XX\\t\\n\\rXX" else _UNPRINTABLE',
    ): "an X is printable, and so was returned before",
    (
        "contracts/hub",
        "_shown",
        'shown = begins[0] if begins else "XXXX"',
    ): "the beginning may be empty, and so is always found",
    (
        "contracts/messages",
        "_fit",
        "return told if (fit == told) and False else fit",
    ): "what is returned equals it; that it is not set again is about speed",
    (
        "contracts/names",
        "_broken_rule",
        'return "XXXX"',
    ): "what breaks none of the rules before is a label, and nobody asks",
    (
        "operator/decisions/orphans",
        "Suspects.__init__",
        "self._found: dict[Orphan, float] = None",
    ): _BEGUN,
    ("operator/decisions/orphans", "Suspects.__init__", "self._now = 1.0"): _BEGUN,
    (
        "operator/decisions/publishing",
        "orphan",
        "action = decide(replace(facts, removable=None))",
    ): "only whether it is true is looked at",
    (
        "operator/decisions/token_bucket",
        "TokenBucket.__init__",
        'self._at = float("-INF")',
    ): "float() reads both",
    (
        "operator/decisions/finalizers",
        "judge_device",
        "return Verdict(released=None)",
    ): "only whether it is true is looked at",
    (
        "operator/decisions/finalizers",
        "judge_device",
        "return Verdict(released=None, left=left)",
    ): "only whether it is true is looked at",
    (
        "operator/model/matching/label_index",
        "LabelIndex._with",
        "return having[0] if (len(having) == 1) and False else set().union(*having)",
    ): "the union of one set equals it; that it is not copied is about speed",
    (
        "operator/model/tombstones",
        "Tombstones.bury",
        'self._uids[uid] = ""',
    ): "only the keys are looked at",
    (
        "supervision/containment",
        "reason",
        (
            "return error.reason if (isinstance(error, errors.FleetError)) and False"
            " else type(error).__name__"
        ),
    ): "the reason of each error of Fleet is the name of its class",
    (
        "supervision/failures",
        "Failures.recovered",
        "record.at.pop(key, )",
    ): "each that stands has its time",
}
