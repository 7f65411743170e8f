"""
A Kubernetes client for tests and benchmarks: plain JSON over HTTPS, as one user of a kubeconfig.

It adds nothing to what is asked, so what it measures is the API server and who acts on it.
"""

import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import yaml

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
FLEET = "/apis/fleet.nationtech.io/v1alpha1"


class Refused(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class KubeClient:
    """One user's requests."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def request(
        self, method: str, path: str, body: Any = None, *, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send one request, and read the object that it answers."""
        data = None if body is None else json.dumps(body)
        async with self._session.request(
            method, self._server + path, data=data, headers={"Content-Type": content_type}
        ) as answer:
            text = await answer.text()
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise Refused(answer.status, text)
            return dict(json.loads(text))

    async def find(self, path: str) -> dict[str, Any] | None:
        """Get an object, or None where there is none."""
        try:
            return await self.request("GET", path)
        except Refused as exc:
            if exc.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def items(self, path: str) -> list[dict[str, Any]]:
        """List objects."""
        return list((await self.request("GET", path))["items"])

    async def watch(self, path: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the events of a collection, what is there already first, until the reader stops."""
        patient = aiohttp.ClientTimeout(total=None)
        url = f"{self._server}{path}?watch=1"
        async with self._session.get(url, timeout=patient) as answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                raise Refused(answer.status, await answer.text())
            buffered = b""
            async for chunk in answer.content.iter_any():
                *lines, buffered = (buffered + chunk).split(b"\n")
                for line in lines:
                    yield json.loads(line)

    async def create(self, path: str, body: Any) -> dict[str, Any]:
        """Make an object."""
        return await self.request("POST", path, body)

    async def apply(self, path: str, body: Any) -> dict[str, Any]:
        """Make an object, or make it so, as an administrator's ``kubectl apply`` does."""
        return await self.request(
            "PATCH", f"{path}?fieldManager=kubectl&force=true", body, content_type=APPLY
        )

    async def patch(self, path: str, body: Any) -> dict[str, Any]:
        """Change part of an object."""
        return await self.request("PATCH", path, body, content_type=MERGE)

    async def delete(self, path: str) -> None:
        """Delete an object."""
        await self.request("DELETE", path)


@asynccontextmanager
async def kube_client(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    """Reach the API server as the user of *kubeconfig*."""
    cluster, token = _read(kubeconfig)
    context = ssl.create_default_context(cafile=cluster.get("certificate-authority"))
    if data := cluster.get("certificate-authority-data"):
        context.load_verify_locations(cadata=base64.b64decode(data).decode())
    connector = aiohttp.TCPConnector(ssl=context)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        yield KubeClient(session, cluster["server"])


def _read(kubeconfig: Path) -> tuple[dict[str, str], str]:
    config = yaml.safe_load(kubeconfig.read_text())
    user = config["users"][0]["user"]
    token = user.get("token") or Path(user["tokenFile"]).read_text().strip()
    return config["clusters"][0]["cluster"], token
