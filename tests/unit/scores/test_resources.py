"""`K8sResourceScore` over a cluster of our own making."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from fleet import errors
from fleet.scores.resources import K8sResourceScore
from fleet.scores.score import Change

NAMESPACE = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
CONFIG = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "b", "namespace": "a"},
    "data": {"k": "v"},
}


@dataclass
class MemoryCluster:
    """`capabilities.Cluster` in memory: refuses an object whose namespace isn't there."""

    objects: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)

    def read(self, manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
        return self.objects.get(_key(manifest))

    def apply(
        self, manifest: Mapping[str, Any], *, manager: str, dry_run: bool = False
    ) -> Mapping[str, Any]:
        namespace = manifest["metadata"].get("namespace")
        if namespace and ("Namespace", "", namespace) not in self.objects:
            raise errors.ClusterRefused(f"{manager}: namespace {namespace} is not there")
        live = self.objects.get(_key(manifest), {})
        if live.get("immutable") and live["data"] != manifest["data"]:
            raise errors.ImmutableField("data: Forbidden: field is immutable", element="data")
        merged = {**live, **manifest}
        if not dry_run:
            self.objects[_key(manifest)] = merged
            self.applied.append(manifest["metadata"]["name"])
        return merged

    def serves(self, api_version: str, kind: str) -> bool:
        return bool(api_version and kind)


@dataclass
class Topology:
    cluster: MemoryCluster = field(default_factory=MemoryCluster)


def _key(manifest: Mapping[str, Any]) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return (manifest["kind"], metadata.get("namespace", ""), metadata["name"])


def test_objects_are_applied_in_order():
    topology = Topology()
    outcome = K8sResourceScore((NAMESPACE, CONFIG)).interpret(topology)
    assert outcome.change is Change.CHANGED
    assert outcome.details == ("Namespace a doesn't exist", "ConfigMap a/b doesn't exist")
    assert topology.cluster.applied == ["a", "b"]


def test_objects_that_are_as_wanted_are_left_alone():
    topology = Topology()
    K8sResourceScore((NAMESPACE, CONFIG)).interpret(topology)
    topology.cluster.applied.clear()
    assert K8sResourceScore((NAMESPACE, CONFIG)).interpret(topology).change is Change.UNCHANGED
    assert topology.cluster.applied == []


def test_a_dry_run_tells_the_change_and_applies_nothing():
    topology = Topology()
    K8sResourceScore((NAMESPACE, CONFIG)).interpret(topology)
    changed = {**CONFIG, "data": {"k": "w"}}
    outcome = K8sResourceScore(changed).interpret(topology, dry_run=True)
    assert outcome.details == ("ConfigMap a/b: data.k: v -> w",)
    assert topology.cluster.read(CONFIG) == CONFIG


def test_a_refusal_is_a_failed_outcome():
    outcome = K8sResourceScore(CONFIG).interpret(Topology())
    assert outcome.change is Change.FAILED
    assert isinstance(outcome.error, errors.ClusterRefused)


@pytest.mark.parametrize("dry_run", [True, False], ids=["told", "applied"])
def test_what_cannot_change_is_refused_in_words_before_anything_is_applied(dry_run):
    fixed = {**CONFIG, "metadata": {"name": "fixed", "namespace": "a"}, "immutable": True}
    topology = Topology()
    K8sResourceScore((NAMESPACE, CONFIG, fixed)).interpret(topology).expect()
    topology.cluster.applied.clear()
    other = {"k": "w"}
    score = K8sResourceScore(({**CONFIG, "data": other}, {**fixed, "data": other}))
    outcome = score.interpret(topology, dry_run=dry_run)
    assert isinstance(outcome.error, errors.ImmutableField)
    assert str(outcome.error).startswith(
        "ConfigMap a/fixed: can't be changed while the object exists: data.k: v -> w;"
    )
    assert topology.cluster.applied == []


@pytest.mark.parametrize(
    ("resources", "name"),
    [(NAMESPACE, "Namespace a"), ((NAMESPACE, CONFIG), "Namespace a and 1 more")],
    ids=["one", "two"],
)
def test_a_score_is_named_by_its_first_object(resources, name):
    assert K8sResourceScore(resources).name == name
