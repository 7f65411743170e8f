"""
The definitions of the custom resources, and their YAML in ``deploy/crds``.

Made from the types in `resources`, with the rules in `rules` and the tables of columns and
lists below. A test compares the files with what `manifests` renders.
"""

from typing import Any

import yaml

from fleet.contracts import resources
from fleet.contracts.schemas import rules
from fleet.contracts.schemas.openapi import Schema, schema

_HEADER = "# Made by `invoke crds` from fleet.contracts.schemas.crds; changes by hand are lost.\n"

# Merged by name when several parties apply parts of them.
_LISTS = {("status", "conditions"): "type"}


def _column(name: str, path: str, type_: str = "string", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type_, "jsonPath": path, **more}


_AGE = _column("AGE", ".metadata.creationTimestamp", "date")
_DEPLOYMENT_COLUMNS = (
    _column("READY", ".status.ready"),
    _column("FAILED", ".status.aggregate.failed", "integer"),
    _column("REASON", ".status.reason"),
    _AGE,
)
_DEVICE_COLUMNS = (
    _column("READY", '.status.conditions[?(@.type=="Ready")].status'),
    _column("ARCH", ".status.inventory.arch"),
    _column("VERSION", ".status.agentVersion"),
    _column("DEPLOYMENTS", ".status.summary.deployments"),
    _column("LABELS", ".status.summary.labels"),
    _AGE,
    _column("LAST HEARD", ".status.summary.lastHeard", priority=1),
    _column("RUNTIMES", ".status.summary.runtimes", priority=1),
    _column("PROBLEMS", ".status.summary.problems", priority=1),
)


def definitions() -> tuple[dict[str, Any], ...]:
    """Build the definitions of both resources, as the API server takes them."""
    return (_deployments(), _devices())


def manifests() -> dict[str, str]:
    """Render the definitions to YAML, by file name."""
    return {f"{crd['spec']['names']['plural']}.yaml": _HEADER + _yaml(crd) for crd in definitions()}


def _deployments() -> dict[str, Any]:
    root = _root(
        resources.DEPLOYMENT_KIND, "What a part of the fleet shall run.", resources.DeploymentStatus
    )
    root["properties"]["spec"] = schema(resources.DeploymentSpec)
    root["required"] = ["spec"]
    _add_rules(root, rules.DEPLOYMENT)
    names = _names(
        resources.DEPLOYMENT_KIND, resources.DEPLOYMENT_PLURAL, resources.DEPLOYMENT_SHORT_NAME
    )
    return _crd(names, "Namespaced", root, _DEPLOYMENT_COLUMNS)


def _devices() -> dict[str, Any]:
    root = _root(
        resources.DEVICE_KIND, "A device of the fleet; it describes itself.", resources.DeviceStatus
    )
    _add_rules(root, rules.DEVICE)
    names = _names(resources.DEVICE_KIND, resources.DEVICE_PLURAL, resources.DEVICE_SHORT_NAME)
    return _crd(names, "Cluster", root, _DEVICE_COLUMNS)


def _root(kind: str, description: str, status: type[resources.Part]) -> Schema:
    root: Schema = {
        "type": "object",
        "description": description,
        "properties": {
            "apiVersion": {"type": "string", "description": f"Always {resources.API_VERSION}."},
            "kind": {"type": "string", "description": f"Always {kind}."},
            "metadata": {"type": "object"},  # the API server describes it, and nobody else may
            "status": schema(status),
        },
    }
    for path, key in _LISTS.items():
        _at(root, path).update(
            {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
        )
    return root


def _add_rules(root: Schema, added: rules.Rules) -> None:
    for path, each in added.items():
        _at(root, path)["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in each
        ]


def _at(root: Schema, path: tuple[str, ...]) -> Schema:
    found = root
    for step in path:
        found = found["items"] if step == "[]" else found["properties"][step]
    return found


def _names(kind: str, plural: str, short_name: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [short_name],
    }


def _crd(
    names: dict[str, Any], scope: str, root: Schema, columns: tuple[dict[str, Any], ...]
) -> dict[str, Any]:
    version = {
        "name": resources.VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "subresources": {"status": {}},
        "additionalPrinterColumns": list(columns),
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names['plural']}.{resources.GROUP}"},
        "spec": {"group": resources.GROUP, "scope": scope, "names": names, "versions": [version]},
    }


def _yaml(manifest: dict[str, Any]) -> str:
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100, allow_unicode=True)


class _Dumper(yaml.SafeDumper):
    """Writes the same list twice rather than pointing from one to the other."""

    def ignore_aliases(self, _: Any) -> bool:
        return True
