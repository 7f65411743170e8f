"""Collects the invoke tasks; holds no logic."""

from invoke.collection import Collection

from lab.console import options
from lab.tasks import bench, images, lab, proof, soak

namespace = options.strict(
    Collection(
        proof.check,
        proof.collection(),
        proof.fix,
        proof.lock,
        proof.crds,
        proof.schema,
        lab.collection(),
        images.collection(),
        bench.collection(),
        soak.collection(),
    )
)
