"""A control plane per module: real etcd, kube-apiserver, nats-server, and the real operator."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from fleet.bus import nats
from fleet.bus.nats import NatsBus
from lab.services.cluster.client import kube_client
from tests.integration.operator.site import Site
from tests.kube_api import KubeApi
from tests.nats_server import ADMIN, OPERATOR, NatsServer, running_nats
from tests.operator_process import OperatorProcess, install, make_token, write_kubeconfig


@pytest.fixture(scope="module")
def module_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for the module; the operator is confined to its own user."""
    with running_nats(tmp_path_factory.mktemp("nats"), (ADMIN, OPERATOR)) as server:
        yield server


@pytest.fixture(scope="module")
def operator_environment() -> dict[str, str]:
    """What the operator is told beyond where things are; modules override it."""
    return {}


@pytest.fixture(scope="module")
def operator_server(kube_api: KubeApi) -> str:
    """Where the operator reaches the API server; modules override it."""
    return kube_api.url


@pytest.fixture(scope="module")
def operator(
    kube_api: KubeApi,
    module_nats: NatsServer,
    operator_environment: dict[str, str],
    operator_server: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[OperatorProcess]:
    """The operator, running; whoever stops it starts it again."""
    directory = tmp_path_factory.mktemp("operator")
    (directory / "token").write_text(asyncio.run(_prepare(kube_api)))
    process = OperatorProcess(
        write_kubeconfig(kube_api, directory, operator_server),
        module_nats,
        directory,
        operator_environment,
    )
    process.start()
    yield process
    process.kill()


async def _prepare(kube_api: KubeApi) -> str:
    async with kube_client(kube_api.kubeconfig) as kube:
        await install(kube)
        return await make_token(kube)


@pytest.fixture
async def site(
    kube_api: KubeApi, module_nats: NatsServer, operator: OperatorProcess
) -> AsyncIterator[Site]:
    """Names of the test's own, and an operator that is ready."""
    async with kube_client(kube_api.kubeconfig) as kube, await connect(module_nats) as bus:
        made = Site(kube, bus, operator)
        await made.until_operator_ready()
        yield made


async def connect(server: NatsServer) -> NatsBus:
    """Connect as the administrator."""
    bus = await nats.connect(
        server.url, credentials=server.credentials(ADMIN), name="test", pace=nats.ALONE
    )
    await bus.wait_for_session()
    return bus
