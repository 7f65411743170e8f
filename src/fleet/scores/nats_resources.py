"""
A NATS server as Kubernetes objects. Decides only: no I/O.

One replica, its streams on a claimed volume, its configuration in a Secret. A
changed configuration restarts the server (the digest is an annotation of the
pod): a reload would need a second container that watches the file, and clients
reconnect anyway.
"""

import base64
import hashlib
from dataclasses import replace
from typing import Any

from fleet.scores import nats_server
from fleet.scores.capabilities import Manifest
from fleet.scores.nats_server import NatsServer

NAMESPACE = "fleet-system"
NAME = "fleet-nats"
IMAGE = "nats:2.15.1-alpine"

_CONFIG = "nats.conf"
_CONFIG_DIR = "/etc/nats"
_STORE = "/data"
_MONITOR_PORT = 8222
_USER = 1000
_LABELS = {"app.kubernetes.io/name": NAME}
_DIGEST = "fleet.nationtech.io/config-digest"


def manifests_of(server: NatsServer) -> tuple[Manifest, ...]:
    """List the objects of *server*, in the order in which they are made."""
    return (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _secret(_configuration(server)),
        _service(),
        stateful_set(server),
    )


def stateful_set(server: NatsServer) -> Manifest:
    """Build the workload itself, which tells whether the server is up."""
    digest = hashlib.sha256(_configuration(server).encode()).hexdigest()
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": _metadata(),
        "spec": {
            "replicas": 1,
            "serviceName": NAME,
            "selector": {"matchLabels": _LABELS},
            "template": {
                "metadata": {"labels": _LABELS, "annotations": {_DIGEST: digest}},
                "spec": {
                    "automountServiceAccountToken": False,
                    "securityContext": {"fsGroup": _USER, "runAsUser": _USER, "runAsNonRoot": True},
                    "containers": [_container()],
                    "volumes": [{"name": "config", "secret": {"secretName": NAME}}],
                },
            },
            "volumeClaimTemplates": [_claim(server.max_file_store)],
        },
    }


def _configuration(server: NatsServer) -> str:
    # The pod has an address, a port and a disk of its own; the Service gives them to the world.
    # The kubelet's probe comes from outside the pod, so monitoring can't stay on its loopback.
    inside = replace(
        server,
        address="0.0.0.0",
        port=nats_server.CLIENT_PORT,
        store=_STORE,
        monitor=f"0.0.0.0:{_MONITOR_PORT}",
    )
    return nats_server.render(inside)


def _metadata() -> dict[str, Any]:
    return {"name": NAME, "namespace": NAMESPACE, "labels": _LABELS}


def _secret(configuration: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(),
        "type": "Opaque",
        "data": {_CONFIG: base64.b64encode(configuration.encode()).decode()},
    }


def _service() -> Manifest:
    port = {"name": "client", "port": nats_server.CLIENT_PORT, "targetPort": "client"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _metadata(),
        "spec": {"selector": _LABELS, "ports": [port]},
    }


def _container() -> dict[str, Any]:
    return {
        "name": "nats",
        "image": IMAGE,
        "args": ["--config", f"{_CONFIG_DIR}/{_CONFIG}"],
        "ports": [
            {"name": "client", "containerPort": nats_server.CLIENT_PORT},
            {"name": "monitor", "containerPort": _MONITOR_PORT},
        ],
        "readinessProbe": {
            "httpGet": {"path": "/healthz?js-server-only=true", "port": "monitor"},
            "periodSeconds": 2,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "config", "mountPath": _CONFIG_DIR, "readOnly": True},
            {"name": "store", "mountPath": _STORE},
        ],
    }


def _claim(size: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "store"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": str(size)}},
        },
    }
