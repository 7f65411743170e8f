"""Collects the invoke tasks; holds no logic."""

from invoke.collection import Collection

from lab import tasks as lab
from lab.bench import tasks as bench
from lab.images.cloud import tasks as images
from lab.proof import tasks as proof
from lab.soak import tasks as soak

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
    soak.collection(),
)
