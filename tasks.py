"""Collects the invoke tasks; holds no logic."""

from invoke.collection import Collection

from lab.tasks import bench, images, lab, proof

namespace = Collection(
    proof.check,
    proof.collection(),
    proof.fix,
    proof.lock,
    proof.crds,
    proof.schema,
    lab.collection(),
    images.collection(),
    bench.collection(),
)
