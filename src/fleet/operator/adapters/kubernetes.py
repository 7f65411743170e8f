"""
The API server, through the official client: lists, and server-side apply.

Every write is an apply of the whole of what the operator owns, under its own
field manager, so what it leaves out goes away and what others own stays. The
token is read again every minute, and when it is refused, since a mounted token
is replaced while the process runs; where it can't be read, the last one serves.
An answer that isn't what was asked for is no answer.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import AsyncGenerator, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import structlog
from kubernetes.aio import client

from fleet import errors
from fleet.contracts import bounds, resources
from fleet.contracts.names import DeviceId
from fleet.operator.adapters import cluster_access
from fleet.operator.decisions.event_correlator import Post
from fleet.operator.model.conditions import timestamp
from fleet.operator.model.custom_resources import FIELD_MANAGER, Deployment
from fleet.operator.ports import Access, Body

log = structlog.get_logger()

ROOT: Final = f"/apis/{resources.API_VERSION}"
DEPLOYMENTS: Final = f"{ROOT}/{resources.DEPLOYMENT_PLURAL}"
DEVICES: Final = f"{ROOT}/{resources.DEVICE_PLURAL}"
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

TOKEN_SECONDS: Final = 60.0
PAGE: Final = 500
TIMEOUT: Final = aiohttp.ClientTimeout(total=30)
MAX_EVENT: Final = 1024
EXCERPT: Final = 200
CLUSTER_SCOPED: Final = "default"  # the namespace of Events about objects that have none
APPLY: Final = "application/apply-patch+yaml"

# What may succeed by itself: an expired token is replaced, a busy server calms down.
PASSING: Final = (
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.GONE,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class KubernetesCluster:
    """`ports.Cluster` over HTTPS, as who the environment says: KUBECONFIG, or the pod's account."""

    def __init__(self, *, page: int = PAGE) -> None:
        self._page = page
        self._client: client.ApiClient | None = None
        self._read_at = float("-inf")

    async def check_access(self) -> None:
        """
        Read how the API server is reached, so that what can't be used is told at the start.

        :raises errors.InvalidConfig: a kubeconfig that is damaged, or lacks something.
        """
        with contextlib.suppress(errors.ClusterUnavailable):
            await self._connect()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def access(self) -> Access:
        """
        Read anew how the API server is reached.

        :raises errors.ClusterUnavailable: the files aren't there (yet).
        """
        self._read_at = float("-inf")
        found = (await self._connected()).configuration
        header = found.api_key.get("BearerToken", "")
        return Access(
            server=found.host,
            ca_file=found.ssl_ca_cert,
            verify=found.verify_ssl,
            token=header.partition(" ")[2].strip() or None,
            certificate_file=found.cert_file,
            key_file=found.key_file,
        )

    async def life(self) -> str:
        """Name the cluster's life, by the uid of Fleet's own namespace."""
        return str((await self._namespace())["metadata"]["uid"])

    def list_deployments(self) -> AsyncGenerator[list[Body], None]:
        """List every `Deployment`, page by page; what raised is no list."""
        return self._list(DEPLOYMENTS)

    def list_devices(self) -> AsyncGenerator[list[Body], None]:
        """List every `Device`, page by page; what raised is no list."""
        return self._list(DEVICES)

    async def read_deployment(self, deployment: Deployment) -> Body:
        """Read one `Deployment` as it is now."""
        return await self._request("GET", _path(deployment))

    async def read_device(self, device: DeviceId) -> Body:
        """Read one `Device` as it is now."""
        return await self._request("GET", f"{DEVICES}/{device}")

    async def is_defined(self, plural: str) -> bool:
        """Read the definition by its name."""
        try:
            found = await self._request("GET", f"{DEFINITIONS}/{plural}.{resources.GROUP}")
        except errors.ObjectNotFound:
            return False
        return found["metadata"].get("deletionTimestamp") is None

    async def apply_device(self, device: DeviceId, labels: Mapping[str, str]) -> Body:
        """Make the object if it isn't there, with our finalizer and exactly these own *labels*."""
        metadata = {
            "name": str(device),
            "labels": dict(labels),
            "finalizers": [resources.FINALIZER],
        }
        body = _device(device, {"metadata": metadata})
        return await self._apply(f"{DEVICES}/{device}", body)

    async def apply_device_status(self, device: DeviceId, status: Body) -> Body:
        """Write a whole status."""
        body = _device(device, {"status": status})
        return await self._apply(f"{DEVICES}/{device}/status", body)

    async def apply_deployment_status(self, deployment: Deployment, status: Body) -> Body:
        """Write a whole status; the uid makes the server refuse it for a resource made again."""
        body = {**_reference(deployment), "status": status}
        return await self._apply(f"{_path(deployment)}/status", body)

    async def post_event(self, post: Post) -> None:
        """Post an Event, or the next one of its series, as the one object that the series is."""
        body = _event(post)
        metadata = body["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/events/{metadata['name']}"
        await self._apply(path, body)

    async def word_to_remove_orphans(self) -> str:
        """Read which set of orphans an administrator allows to remove; empty when none."""
        annotations = (await self._namespace())["metadata"].get("annotations") or {}
        return str(annotations.get(resources.REMOVE_ORPHANS, ""))

    async def _namespace(self) -> Body:
        return await self._request("GET", f"/api/v1/namespaces/{resources.NAMESPACE}")

    async def _list(self, path: str) -> AsyncGenerator[list[Body], None]:
        page = ""
        while True:
            query = [("limit", str(self._page)), *([("continue", page)] if page else [])]
            answer = await self._request("GET", path, query=query)
            yield _items(path, answer)
            page = answer["metadata"].get("continue", "")
            if not page:
                return

    async def _apply(self, path: str, body: Body) -> Body:
        query = [("fieldManager", FIELD_MANAGER), ("force", "true")]
        return await self._request("PATCH", path, query=query, body=body, content_type=APPLY)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Body | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        api = await self._connected()
        try:
            request = await api.param_serialize(
                method,
                path,
                query_params=query or [],
                header_params={"Content-Type": content_type, "Accept": "application/json"},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await api.call_api(*request, _request_timeout=TIMEOUT)
            text = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise errors.ClusterUnavailable(f"{method} {path}: {exc!r}", element=path) from exc
        if answer.status == HTTPStatus.UNAUTHORIZED:
            self._read_at = float("-inf")
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(f"{method} {path}", answer.status, text)
        return _decoded(f"{method} {path}", text)

    async def _connected(self) -> client.ApiClient:
        """Return a client with a token of the last minute or, where there is none, the last one."""
        if time.monotonic() - self._read_at > TOKEN_SECONDS:
            try:
                return await self._connect()
            except (errors.ClusterUnavailable, errors.InvalidConfig) as exc:
                if self._client is None:
                    raise errors.ClusterUnavailable(str(exc)) from exc
                log.warning("access not read again", reason=exc.reason, error=str(exc))
            self._read_at = time.monotonic()
        if self._client is None:
            return await self._connect()
        return self._client

    async def _connect(self) -> client.ApiClient:
        found = await cluster_access.read()
        known = self._client
        if known is not None and cluster_access.is_same_connection(known.configuration, found):
            known.configuration.api_key = found.api_key
        else:
            await self.close()
            known = self._client = cluster_access.connect(found)
        self._read_at = time.monotonic()
        return known


def _path(deployment: Deployment) -> str:
    of_namespace = f"{ROOT}/namespaces/{deployment.namespace}/{resources.DEPLOYMENT_PLURAL}"
    return f"{of_namespace}/{deployment.name}"


def _device(device: DeviceId, content: Body) -> Body:
    return {
        "apiVersion": resources.API_VERSION,
        "kind": resources.DEVICE_KIND,
        "metadata": {"name": str(device)},
        **content,
    }


def _reference(deployment: Deployment) -> dict[str, Any]:
    return {
        "apiVersion": resources.API_VERSION,
        "kind": resources.DEPLOYMENT_KIND,
        "metadata": {
            "name": str(deployment.name),
            "namespace": deployment.namespace,
            "uid": deployment.uid,
        },
    }


def _event(post: Post) -> dict[str, Any]:
    event, series = post.event, post.series
    about = event.about
    digest = hashlib.sha256("/".join(post.key).encode()).hexdigest()[:16]
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{about.name}.{digest}",
            "namespace": about.namespace or CLUSTER_SCOPED,
        },
        "involvedObject": {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "uid": about.uid,
            **({"namespace": about.namespace} if about.namespace else {}),
        },
        "type": str(event.severity),
        "reason": event.reason,
        "message": bounds.shown(event.message, MAX_EVENT),
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": timestamp(series.first),
        "lastTimestamp": timestamp(series.last),
        "count": series.count,
    }


def _decoded(request: str, text: bytes) -> dict[str, Any]:
    """Read an object. A proxy on the way, or another server, answers with something else."""
    try:
        decoded = json.loads(text)
    except ValueError:
        decoded = None
    if not isinstance(decoded, dict) or not isinstance(decoded.get("metadata"), dict):
        raise errors.ClusterUnavailable(f"{request}: not an object: {_excerpt(text)}")
    return decoded


def _items(path: str, answer: Body) -> list[Body]:
    """Read the objects of a list: all have what every object has."""
    items = answer.get("items")
    if not isinstance(items, list) or not all(_is_object(item) for item in items):
        raise errors.ClusterUnavailable(f"GET {path}: not a list of objects", element=path)
    return items


def _is_object(item: Any) -> bool:
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and {"name", "uid"} <= metadata.keys()


def _excerpt(text: bytes) -> str:
    return repr(text[:EXCERPT].decode(errors="replace"))


def _refusal(request: str, status: int, text: bytes) -> errors.FleetError:
    try:
        message = str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        message = _excerpt(text)
    if status in PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return errors.ClusterUnavailable(f"{request}: {status} {message}")
    if status == HTTPStatus.NOT_FOUND:
        return errors.ObjectNotFound(f"{request}: {status} {message}")
    return errors.ClusterRefused(f"{request}: {status} {message}")
