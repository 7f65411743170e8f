"""
The Kubernetes API through the official client: the adapter behind `capabilities.Cluster`.

Objects travel as plain JSON, so any kind will do, of whatever age; which path
serves a kind is asked of the API's own discovery and then remembered.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import urllib3
from kubernetes import client, config
from kubernetes.config.config_exception import ConfigException

from fleet import errors
from fleet.contracts import kubeconfig
from fleet.scores.capabilities import Manifest

_APPLY = "application/apply-patch+yaml"
_JSON = "application/json"
_TIMEOUT = 15.0
_NOT_FOUND = 404
_COMES_BACK = frozenset({408, 409, 429, 500, 502, 503, 504})
_INVALID = 422
# How the API server's validators say it; there is no code for it.
_IMMUTABLE = re.compile("immutable|updates to|may not change|cannot change|can't be changed")


class ApiCluster:
    """`capabilities.Cluster` over one API server, with one identity."""

    def __init__(self, api: client.ApiClient, configuration: client.Configuration) -> None:
        self._api = api
        self._configuration = configuration
        self._collections: dict[tuple[str, str], tuple[str, bool]] = {}

    @classmethod
    def from_kubeconfig(cls, path: Path | str) -> Self:
        """
        Reach the current context of a kubeconfig (or several, joined as in ``$KUBECONFIG``).

        :raises errors.InvalidConfig: there is none, or it can't be used.
        """
        configuration = client.Configuration()
        try:
            if kubeconfig.check_path(str(path)) is None:
                raise errors.InvalidConfig(f"kubeconfig {path}: not there", element=str(path))
            config.load_kube_config(
                str(path), client_configuration=configuration, persist_config=False
            )
        except ConfigException as exc:
            what = f"kubeconfig {path}: {kubeconfig.quotable(str(exc))}"
            raise errors.InvalidConfig(what, element=str(path)) from None
        except OSError as exc:
            raise errors.InvalidConfig(f"kubeconfig {path}: {exc}", element=str(path)) from exc
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            # Its words may quote what stands there.
            what = f"kubeconfig {path}: its credentials can't be read ({type(exc).__name__})"
            raise errors.InvalidConfig(what, element=str(path)) from None
        return cls._connected(configuration)

    @classmethod
    def from_pod(cls) -> Self:
        """
        Reach the cluster that this process runs in, as its ServiceAccount.

        :raises errors.InvalidConfig: this is no pod.
        """
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)
        except ConfigException as exc:
            raise errors.InvalidConfig(
                "KUBECONFIG is not set, and this is not a pod either", element="KUBECONFIG"
            ) from exc
        return cls._connected(configuration)

    @classmethod
    def _connected(cls, configuration: client.Configuration) -> Self:
        configuration.retries = False  # who waits here says so, with a name and a limit
        return cls(client.ApiClient(configuration), configuration)

    def read(self, manifest: Manifest) -> Manifest | None:
        """See `capabilities.Cluster`."""
        path = self._path(manifest)
        return None if path is None else self._ask("GET", path)

    def apply(self, manifest: Manifest, *, manager: str, dry_run: bool = False) -> Manifest:
        """See `capabilities.Cluster`."""
        path = self._path(manifest)
        if path is None:
            kind = f"{manifest['apiVersion']} {manifest['kind']}"
            raise errors.ClusterRefused(f"the cluster has no kind {kind}", element=kind)
        query = {"fieldManager": manager, "force": "true"}
        if dry_run:
            query["dryRun"] = "All"
        return self._must("PATCH", path, query=query, body=dict(manifest), content=_APPLY)

    def token(self, namespace: str, service_account: str, *, seconds: int) -> str:
        """Request a token of a service account that expires after *seconds*."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        return str(self._must("POST", path, body=body)["status"]["token"])

    def accepts(self, token: str) -> bool:
        """Tell whether the API takes *token* for a valid identity."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token},
        }
        answer = self._must("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=body)
        return bool(answer["status"].get("authenticated", False))

    def serves(self, api_version: str, kind: str) -> bool:
        """See `capabilities.Cluster`."""
        return self._collection(api_version, kind) is not None

    def _path(self, manifest: Manifest) -> str | None:
        """Build the path of an object; None where its kind isn't served."""
        found = self._collection(manifest["apiVersion"], manifest["kind"])
        if found is None:
            return None
        plural, namespaced = found
        metadata = manifest["metadata"]
        place = f"/namespaces/{metadata.get('namespace', 'default')}" if namespaced else ""
        return f"{_root(manifest['apiVersion'])}{place}/{plural}/{metadata['name']}"

    def _collection(self, api_version: str, kind: str) -> tuple[str, bool] | None:
        """Find the plural of a kind, and whether it is namespaced."""
        if (api_version, kind) not in self._collections:
            listed = self._ask("GET", _root(api_version)) or {"resources": ()}
            for resource in listed["resources"]:
                if "/" not in resource["name"]:  # those are subresources
                    key = (api_version, str(resource["kind"]))
                    self._collections[key] = (str(resource["name"]), bool(resource["namespaced"]))
        return self._collections.get((api_version, kind))

    def _must(self, method: str, path: str, **request: Any) -> Manifest:
        answer = self._ask(method, path, **request)
        if answer is None:
            raise errors.ClusterRefused(f"{path} is not there", element=path)
        return answer

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content: str = _JSON,
    ) -> Manifest | None:
        request = self._api.param_serialize(
            method=method,
            resource_path=path,
            query_params=list((query or {}).items()),
            header_params={"Accept": _JSON, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._api.call_api(*request, _request_timeout=_TIMEOUT)
            data = response.read()
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as exc:
            server = self._configuration.host
            raise errors.ClusterUnavailable(f"{server}: {exc}", element=server) from exc
        return _judged(path, response.status, data)


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def _judged(path: str, status: int, data: bytes) -> Manifest | None:
    """Make an answer of *status* an object, None (not found), or an error."""
    if status == _NOT_FOUND:
        return None
    if 200 <= status <= 299:  # noqa: PLR2004 — what HTTP calls success
        return _decoded(path, data)
    message = f"{path}: {status} {_message(data)}"
    if status in _COMES_BACK:
        raise errors.ClusterUnavailable(message, element=path)
    if status == _INVALID and (field := _immutable(data)):
        raise errors.ImmutableField(_message(data), element=field)
    raise errors.ClusterRefused(message, element=path)


def _decoded(path: str, data: bytes) -> Manifest:
    try:
        decoded = json.loads(data)
    except ValueError as exc:
        raise errors.ClusterUnavailable(f"{path}: an answer that isn't JSON", element=path) from exc
    if not isinstance(decoded, dict):
        raise errors.ClusterUnavailable(f"{path}: an answer that isn't an object", element=path)
    return decoded


def _immutable(data: bytes) -> str:
    """Find the field that a refusal says can't change any more; an empty string when none."""
    try:
        causes = json.loads(data)["details"]["causes"]
        return next(str(c["field"]) for c in causes if _IMMUTABLE.search(str(c["message"])))
    except (ValueError, KeyError, TypeError, StopIteration):
        return ""


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data[:200].decode(errors="replace")
