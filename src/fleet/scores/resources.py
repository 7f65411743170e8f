"""Kubernetes objects as a score."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fleet import errors
from fleet.scores import manifests, waiting
from fleet.scores.capabilities import HasKubernetes, Manifest
from fleet.scores.score import Score

MANAGER = "fleet"


@dataclass(frozen=True, slots=True)
class K8sResourceScore(Score[HasKubernetes]):
    """
    Objects as these manifests want them, by server-side apply.

    Fields that a manifest doesn't name are left to whoever set them. The
    server itself says what applying would change, by a dry run, so its
    defaults are no difference; what it lets nobody change is refused in words
    before anything is applied. A CRD counts once its kinds are served, so what
    follows it in *resources* may be of its kind.
    """

    resources: Manifest | tuple[Manifest, ...]
    manager: str = MANAGER
    within: float = 30.0

    @property
    def name(self) -> str:
        """Name the first object, and how many follow."""
        first, *others = self._manifests()
        more = f" and {len(others)} more" if others else ""
        return f"{manifests.describe(first)}{more}"

    def differences(self, topology: HasKubernetes) -> tuple[str, ...]:
        """Ask the server what applying would change."""
        return tuple(
            difference
            for manifest in self._manifests()
            for difference in self._differences(manifest, topology)
        )

    def bring_about(self, topology: HasKubernetes) -> None:
        """Apply, in order."""
        for manifest in self._manifests():
            topology.cluster.apply(manifest, manager=self.manager)
            if manifests.is_crd(manifest):
                waiting.until(
                    f"{manifests.describe(manifest)} to be served",
                    functools.partial(_unserved, manifest, topology),
                    within=self.within,
                )

    def _manifests(self) -> tuple[Manifest, ...]:
        return (self.resources,) if isinstance(self.resources, Mapping) else self.resources

    def _differences(self, manifest: Manifest, topology: HasKubernetes) -> Iterator[str]:
        what = manifests.describe(manifest)
        live = topology.cluster.read(manifest)
        if live is None:
            yield f"{what} doesn't exist"
            return
        try:
            wanted = topology.cluster.apply(manifest, manager=self.manager, dry_run=True)
        except errors.ImmutableField as exc:
            refused = manifests.unchangeable(live, manifest, exc)
            raise errors.ImmutableField(refused, element=exc.element) from exc
        for change in manifests.differing(live, wanted):
            yield f"{what}: {change}"
        if manifests.is_crd(manifest) and (why := manifests.unestablished(live)):
            yield f"{what}: {why}"


def _unserved(crd: Manifest, topology: HasKubernetes) -> str:
    if why := manifests.unestablished(topology.cluster.read(crd)):
        return why
    absent = [
        f"{kind['apiVersion']} {kind['kind']}"
        for kind in manifests.served_kinds(crd)
        if not topology.cluster.serves(kind["apiVersion"], kind["kind"])
    ]
    return f"not served yet: {', '.join(absent)}" if absent else ""
