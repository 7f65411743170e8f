"""
What can be told from Kubernetes manifests alone. Decides only: no I/O.

Two objects are compared without the fields that the API server keeps for
itself, and values of a `Secret` are never put into words.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fleet import errors
from fleet.scores.capabilities import Manifest

CRD_KIND = "CustomResourceDefinition"

_SERVER_KEPT = frozenset({"managedFields", "resourceVersion", "generation"})
_WORD_LENGTH = 60


def describe(manifest: Manifest) -> str:
    """Name an object: ``Secret fleet-system/fleet-nats``."""
    metadata = manifest["metadata"]
    namespace = metadata.get("namespace")
    place = f"{namespace}/" if namespace else ""
    return f"{manifest['kind']} {place}{metadata['name']}"


def differing(live: Manifest, wanted: Manifest) -> tuple[str, ...]:
    """Tell in words what would change in *live*: ``spec.replicas: 1 -> 2``."""
    return tuple(_told(wanted, *change) for change in _walk("", _own(live), _own(wanted)))


def unchangeable(live: Manifest, wanted: Manifest, error: errors.ImmutableField) -> str:
    """
    Tell in words what of *wanted* can't be brought about while *live* exists.

    The server names a field or, as for a StatefulSet, what may change beneath one, in quotes.
    """
    changeable = {f"{error.element}.{name}" for name in re.findall(r"'([A-Za-z]+)'", str(error))}
    fixed = [
        _told(wanted, path, before, after)
        for path, before, after in _walk_asked("", _own(live), _own(wanted))
        if _is_beneath(path, error.element) and not any(_is_beneath(path, c) for c in changeable)
    ]
    what = ", ".join(fixed) or error.element
    kept = " (its volumes stay, as large as they are)" if wanted["kind"] == "StatefulSet" else ""
    return (
        f"{describe(wanted)}: can't be changed while the object exists: {what};"
        f" put it back, or delete the object{kept}, and it is made anew"
    )


def is_crd(manifest: Manifest) -> bool:
    """Tell whether *manifest* defines a kind, which takes a moment to be served."""
    return bool(manifest["kind"] == CRD_KIND)


def unestablished(crd: Manifest | None) -> str:
    """Tell why a CRD can't be used yet; an empty string when it can."""
    if crd is None:
        return "it doesn't exist"
    listed = crd.get("status", {}).get("conditions") or ()  # null at first
    conditions = {condition["type"]: condition for condition in listed}
    for wanted in ("NamesAccepted", "Established"):
        condition = conditions.get(wanted)
        if condition is None or condition["status"] != "True":
            return f"not {wanted}: {(condition or {}).get('message') or 'no word yet'}"
    return ""


def unready_replicas(workload: Manifest | None) -> str:
    """Tell why a StatefulSet or Deployment isn't up yet; an empty string when it is."""
    if workload is None:
        return "it doesn't exist"
    status = workload.get("status", {})
    if status.get("observedGeneration", 0) < workload["metadata"].get("generation", 0):
        return "its controller has not looked at it yet"
    wanted = workload["spec"].get("replicas", 1)
    ready = min(status.get("readyReplicas", 0), status.get("updatedReplicas", 0))
    return "" if ready >= wanted else f"{ready} of {wanted} replicas are up to date and ready"


def served_kinds(crd: Manifest) -> tuple[Manifest, ...]:
    """List what a CRD serves, each as the beginning of a manifest."""
    spec = crd["spec"]
    return tuple(
        {"apiVersion": f"{spec['group']}/{version['name']}", "kind": spec["names"]["kind"]}
        for version in spec["versions"]
        if version.get("served")
    )


def _own(manifest: Manifest) -> dict[str, Any]:
    """Leave out what the server keeps for itself; a status is never wanted by a score."""
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in _SERVER_KEPT}
    return {**{k: v for k, v in manifest.items() if k != "status"}, "metadata": metadata}


def _walk(path: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            deeper = f"{path}.{key}" if path else str(key)
            yield from _walk(deeper, before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _walk(f"{path}[{index}]", old, new)
    elif before != after:
        yield path, before, after


def _walk_asked(path: str, before: Any, asked: Any) -> Iterator[tuple[str, Any, Any]]:
    """Walk what was asked for alone: what the server or others added is no difference."""
    if isinstance(before, Mapping) and isinstance(asked, Mapping):
        for key in sorted(asked):
            deeper = f"{path}.{key}" if path else str(key)
            yield from _walk_asked(deeper, before.get(key), asked[key])
    elif isinstance(before, list) and isinstance(asked, list) and len(before) == len(asked):
        for index, (old, new) in enumerate(zip(before, asked, strict=True)):
            yield from _walk_asked(f"{path}[{index}]", old, new)
    elif before != asked:
        yield path, before, asked


def _is_beneath(path: str, field: str) -> bool:
    return path == field or path.startswith((f"{field}.", f"{field}["))


def _told(manifest: Manifest, path: str, before: Any, after: Any) -> str:
    secret = manifest.get("kind") == "Secret"
    return path if secret else f"{path}: {_word(before)} -> {_word(after)}"


def _word(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _WORD_LENGTH else f"{text[:_WORD_LENGTH]}..."
