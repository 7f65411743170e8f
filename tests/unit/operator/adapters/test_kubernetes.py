"""The API server's adapter: an answer that isn't what was asked for, and half a kubeconfig."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.operator import main
from fleet.operator.adapters.kubernetes import KubernetesCluster
from fleet.operator.settings import read as settings
from tests.unit.operator.making import deployment

HTML = "<html><body>Please log in</body></html>"
DEVICE = {"metadata": {"name": "d1", "uid": "u1"}}
TOKEN = "dG9rZW4"


class Server:
    """An API server that answers everything with *status* and *text*; it notes the tokens."""

    def __init__(self) -> None:
        self.status = 200
        self.text = ""
        self.tokens: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Answer."""
        self.tokens.append(request.headers.get("Authorization", ""))
        return web.Response(status=self.status, text=self.text, content_type="text/html")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def url(server: Server) -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    async with TestServer(application, host="127.0.0.1") as running:
        yield str(running.make_url("")).rstrip("/")


def kubeconfig(url: str, token: str = TOKEN, **cluster: str) -> str:
    return yaml.safe_dump(
        {
            "current-context": "fleet",
            "contexts": [{"name": "fleet", "context": {"cluster": "here", "user": "operator"}}],
            "clusters": [{"name": "here", "cluster": {"server": url, **cluster}}],
            "users": [{"name": "operator", "user": {"token": token}}],
        },
        sort_keys=False,
    )


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> Path:
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(url))
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


def remove(file: Path) -> None:
    file.unlink()


@pytest.fixture
async def cluster(file: Path) -> AsyncIterator[KubernetesCluster]:
    assert file
    made = KubernetesCluster()
    yield made
    await made.close()


async def each_request(cluster: KubernetesCluster) -> AsyncIterator[Any]:
    """Make one request of each kind."""
    yield anext(cluster.list_deployments())
    yield anext(cluster.list_devices())
    yield cluster.read_device(DeviceId("d1"))
    yield cluster.read_deployment(deployment())
    yield cluster.apply_device(DeviceId("d1"), {})
    yield cluster.apply_device_status(DeviceId("d1"), {})
    yield cluster.apply_deployment_status(deployment(), {})
    yield cluster.life()
    yield cluster.word_to_remove_orphans()


@pytest.mark.parametrize("status", [200, 302, 502])
@pytest.mark.parametrize(
    "text", [HTML, "", "null", "[]", '"word"', "{}", '{"metadata": null}', '{"metadata": [1]}']
)
async def test_an_answer_that_is_no_object_is_no_answer(
    server: Server, cluster: KubernetesCluster, status: int, text: str
):
    server.status, server.text = status, text
    async for request in each_request(cluster):
        with pytest.raises(errors.ClusterUnavailable):
            await request


@pytest.mark.parametrize(
    "items",
    [None, "word", {}, [None], ["word"], [{}], [{"metadata": {}}], [{"metadata": {"name": "a"}}]],
    ids=json.dumps,
)
async def test_a_list_that_is_none_is_no_answer(
    server: Server, cluster: KubernetesCluster, items: Any
):
    server.text = json.dumps({"metadata": {}, "items": items})
    for request in (cluster.list_deployments(), cluster.list_devices()):
        with pytest.raises(errors.ClusterUnavailable, match="not a list of objects"):
            await anext(request)


@pytest.mark.parametrize("text", [HTML, "[]", "null", '{"message": ["x"]}'])
async def test_a_refusal_in_other_words_is_a_refusal(
    server: Server, cluster: KubernetesCluster, text: str
):
    server.status, server.text = 403, text
    with pytest.raises(errors.ClusterRefused, match="403"):
        await cluster.read_device(DeviceId("d1"))


async def test_half_a_kubeconfig_leaves_the_last_one_in_use(
    server: Server, cluster: KubernetesCluster, file: Path, url: str
):
    server.text = json.dumps(DEVICE)
    await cluster.read_device(DeviceId("d1"))
    for half in ("", kubeconfig(url)[:60], kubeconfig(url).replace("server", "serve")):
        write(file, half)
        assert (await cluster.access()).token == TOKEN  # which reads it again
        await cluster.read_device(DeviceId("d1"))
    remove(file)
    assert (await cluster.access()).token == TOKEN
    write(file, kubeconfig(url, "bmV3"))
    assert (await cluster.access()).token == "bmV3"
    await cluster.read_device(DeviceId("d1"))
    assert server.tokens == [f"Bearer {token}" for token in (*[TOKEN] * 4, "bmV3")]


async def test_another_server_in_the_kubeconfig_is_turned_to(
    server: Server, cluster: KubernetesCluster, file: Path, url: str
):
    server.text = json.dumps(DEVICE)
    write(file, kubeconfig("http://127.0.0.1:1"))
    with pytest.raises(errors.ClusterUnavailable):
        await cluster.read_device(DeviceId("d1"))
    write(file, kubeconfig(url))
    await cluster.access()
    assert await cluster.read_device(DeviceId("d1")) == DEVICE


BROKEN = base64.b64encode(b"no certificate").decode()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (kubeconfig("https://127.0.0.1:1")[:70], "kubeconfig"),
        (kubeconfig(""), "cluster 'here'"),
        (kubeconfig("https://127.0.0.1:1", **{"certificate-authority-data": BROKEN}), "its cert"),
        (
            kubeconfig("https://127.0.0.1:1", **{"certificate-authority-data": "abcde"}),
            "credentials can't be read",
        ),
    ],
    ids=["cut off", "no server", "no certificate", "no base64"],
)
async def test_an_operator_with_half_a_kubeconfig_says_so_and_ends_with_2(
    file: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
):
    write(file, text)
    assert await main.run(settings([])) == 2
    told = capsys.readouterr().err
    assert told.startswith("fleet-operator: ")
    assert says in told
    assert TOKEN not in told


async def test_a_kubeconfig_that_is_not_there_yet_is_waited_for(file: Path):
    remove(file)
    cluster = KubernetesCluster()
    await cluster.check_access()
    with pytest.raises(errors.ClusterUnavailable, match="is not there"):
        await cluster.life()
