"""Real parts that several suites share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kube_api import KubeApi, missing_binaries, running_kube_api
from tests.nats_server import NatsServer, running_nats


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A nats-server of the test's own, where anybody may do anything."""
    with running_nats(tmp_path) as server:
        yield server


@pytest.fixture(scope="session")
def kube_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    """One Kubernetes API for the session; give resources names of their own."""
    missing = missing_binaries()
    if missing:
        pytest.skip(f"not on the PATH: {', '.join(missing)}; ./dev provides them")
    with running_kube_api(tmp_path_factory.mktemp("kube-api")) as api:
        yield api
