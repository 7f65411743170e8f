"""Files by which the API server is reached, half or odd: told by name, and never quoted."""

import base64
import copy
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fleet import errors
from fleet.operator.adapters import cluster_access

SECRET = "dG9wIHNlY3JldA"
EXEC = {"command": "/nowhere", "apiVersion": "v1", "args": [], "env": []}
CLUSTER = {
    "server": "https://127.0.0.1:1",
    "certificate-authority": "/nowhere",
    "certificate-authority-data": "",
    "insecure-skip-tls-verify": False,
    "tls-server-name": "here",
    "proxy-url": "http://127.0.0.1:1",
}
USER = {
    "token": SECRET,
    "tokenFile": "/nowhere",
    "username": "operator",
    "password": SECRET,
    "client-certificate": "/nowhere",
    "client-certificate-data": "",
    "client-key": "/nowhere",
    "client-key-data": SECRET,
    "exec": EXEC,
    "auth-provider": {"name": "oidc", "config": {"id-token": SECRET, "refresh-token": SECRET}},
}
ODD = [
    None,
    5,
    True,
    "",
    "a\n",
    "\0",
    "a.b.c",
    b"\xff",
    [],
    [None],
    ["a"],
    {},
    {"a": 1},
    {"a": None},
]


def whole(user: Any = USER, cluster: Any = CLUSTER) -> dict[str, Any]:
    """Make a kubeconfig."""
    return {
        "current-context": "fleet",
        "contexts": [{"name": "fleet", "context": {"cluster": "here", "user": "operator"}}],
        "clusters": [{"name": "here", "cluster": cluster}],
        "users": [{"name": "operator", "user": user}],
    }


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


@pytest.fixture
def account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod has: where the API server is, a token, and a CA."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "1")
    (tmp_path / "token").write_text(SECRET)
    (tmp_path / "ca.crt").write_text("no certificate")
    return tmp_path


def write(path: Path, content: str | bytes | None) -> None:
    """Write a file; None: there is none."""
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)


async def reach(account: Path = cluster_access.ACCOUNT) -> None:
    """Do all that comes before a request."""
    await cluster_access.connect(await cluster_access.read(account)).close()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List where something stands in *value*, with *value* itself."""
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))


def put(value: Any, place: tuple[Any, ...], odd: Any) -> Any:
    """Put something *odd* at a *place*."""
    if not place:
        return odd
    changed = copy.copy(value)
    changed[place[0]] = put(value[place[0]], place[1:], odd)
    return changed


def odd_ones(left_out: tuple[str, ...]) -> Iterator[str]:
    """Write kubeconfigs in each of which one value is odd."""
    user = {key: value for key, value in USER.items() if key not in left_out}
    for place in places(whole(user)):
        for odd in ODD:
            yield yaml.safe_dump(put(whole(user), place, odd))


@pytest.mark.parametrize(
    "left_out", [(), ("auth-provider",), ("auth-provider", "exec"), ("token", "exec")], ids=str
)
async def test_whatever_stands_in_a_kubeconfig_no_secret_is_quoted_and_the_error_is_ours(
    file: Path, caplog: pytest.LogCaptureFixture, left_out: tuple[str, ...]
):
    caplog.set_level(logging.DEBUG)
    for text in odd_ones(left_out):
        write(file, text)
        told = ""
        try:
            await reach()
        except errors.FleetError as exc:
            told = str(exc)
        assert SECRET not in told
        assert SECRET not in caplog.text
        caplog.clear()


PEM = "-----BEGIN CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        (
            {},
            {"certificate-authority-data": base64.b64encode(b"x").decode()},
            "its certificate-auth",
        ),
        ({}, {"certificate-authority": "FILE"}, "its certificate-authority"),
        ({}, {"insecure-skip-tls-verify": "false"}, "insecure-skip-tls-verify"),
        (
            {"client-certificate": "FILE", "client-key": "FILE"},
            {},
            "client-certificate or client-key",
        ),
        ({"client-certificate": "FILE"}, {}, "no client-key"),
        ({"tokenFile": "EMPTY"}, {}, "token file EMPTY is empty"),
        ({"tokenFile": "BINARY"}, {}, "token file BINARY"),
        ({"token": f"{SECRET}\n{SECRET}"}, {}, "its token"),
        ({"token": "\N{LATIN SMALL LETTER E WITH ACUTE}"}, {}, "its token"),
        ({"token": " \n"}, {}, "its token"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_cannot_be_used_is_named_with_the_file_that_it_is_in(
    file: Path, user: dict[str, str], cluster: dict[str, str], says: str
):
    files = {"FILE": f"{PEM}{SECRET}".encode(), "EMPTY": b"", "BINARY": b"\xff\xfe"}
    for name, content in files.items():
        write(file.parent / name, content)
    server = {"server": "https://127.0.0.1:1", **cluster}
    write(file, yaml.safe_dump(whole(user, server)))
    with pytest.raises(errors.InvalidConfig) as refused:
        await reach()
    assert str(refused.value).startswith(f"kubeconfig {file}: ")
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        ({"tokenFile": "GONE"}, {}, "GONE"),
        ({}, {"certificate-authority": "GONE"}, "GONE"),
        ({"client-certificate": "GONE", "client-key": "GONE"}, {}, "GONE"),
        ({"exec": EXEC}, {}, "/nowhere gave no credentials"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_what_is_not_there_yet_is_named_and_waited_for(
    file: Path, user: dict[str, str], cluster: dict[str, str], says: str
):
    write(file, yaml.safe_dump(whole(user, {"server": "https://127.0.0.1:1", **cluster})))
    with pytest.raises(errors.ClusterUnavailable) as refused:
        await reach()
    assert says in str(refused.value)


async def test_a_token_file_ends_with_its_line(file: Path):
    write(file.parent / "token", f"{SECRET}\n")
    write(file, yaml.safe_dump(whole({"tokenFile": "token"}, {"server": "http://127.0.0.1:1"})))
    assert (await cluster_access.read()).api_key == {"BearerToken": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("token", b"", "Token file"),
        ("token", None, "Service token file"),
        ("ca.crt", b"", "Cert file"),
        ("ca.crt", None, "certification file"),
    ],
)
async def test_an_account_that_is_not_all_there_yet_is_waited_for(
    account: Path, name: str, content: bytes | None, says: str
):
    write(account / name, content)
    with pytest.raises(errors.ClusterUnavailable, match=says):
        await reach(account)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("token", b"\xff\xfe", "is no text"),
        ("token", b"\n", "its token"),
        ("token", f"{SECRET}\n{SECRET}".encode(), "its token"),
        ("ca.crt", b"no certificate", "its certificate-authority"),
        ("ca.crt", b"\xff\xfe", "is no text"),
    ],
)
async def test_an_account_that_cannot_be_used_says_what_of_it(
    account: Path, name: str, content: bytes, says: str
):
    write(account / name, content)
    with pytest.raises(errors.InvalidConfig, match=r"^the pod's account: ") as refused:
        await reach(account)
    assert says in str(refused.value)
    assert SECRET not in str(refused.value)


async def test_a_ca_that_goes_before_the_client_is_made_is_waited_for(account: Path):
    found = await cluster_access.read(account)
    write(account / "ca.crt", None)
    with pytest.raises(errors.ClusterUnavailable, match="the pod's account"):
        cluster_access.connect(found)
