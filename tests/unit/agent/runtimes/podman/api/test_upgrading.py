"""
An upgrade of the agent makes no container anew: what names a container's content stays as it was.

The values are those of the version before `devices`, `files` and their like. A new field has to be
left out where it isn't asked for: of the digest, and of what podman is told.
"""

import hashlib
import json

import pytest

from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api import specification
from fleet.contracts import scores
from fleet.contracts.names import DeploymentName, DeviceId

BEFORE = {
    "services": [
        {"name": "plain", "image": "registry.local/hello:1"},
        {
            "name": "full",
            "image": "registry.local/hello@sha256:00",
            "pullPolicy": "Always",
            "command": ["/bin/app"],
            "args": ["-v"],
            "env": {"GREETING": "grüß dich"},
            "ports": [{"host": 8080, "container": 80, "protocol": "udp", "hostIp": "10.0.0.1"}],
            "networkMode": "bridge",
            "restartPolicy": "OnFailure",
            "volumes": [
                {"name": "data", "mountPath": "/data"},
                {"hostPath": "/srv", "mountPath": "/srv", "readOnly": True},
            ],
            "resources": {"memory": "128Mi", "cpus": "500m", "pids": 64},
            "healthcheck": {
                "command": ["/bin/true"],
                "interval": 10,
                "timeout": 5,
                "retries": 3,
                "startPeriod": 0,
            },
            "user": "1000",
            "readOnlyRootfs": True,
            "capabilities": {"add": ["NET_ADMIN"], "drop": ["ALL"]},
            "stopTimeout": 5,
            "labels": {"team": "web"},
        },
    ]
}
DIGESTS = {
    "plain": "ad21bd790c57e2141796ea179ba4dbfcb7af247eaa375f057c38c877fa1fc533",
    "full": "cf9b08daecf9e01b84ea81c307d202264c079c152fdad199fd92065ce2043dc1",
}
BODIES = {
    "plain": "feca885e01d2f69888b673d642a1485d1e78bc708ec7ce55385d10a11037f287",
    "full": "15b6dadb94489c3d2507bab5ba3d7f4e1e04211a923bb7c05c0c6938c3313b81",
}


def test_a_service_of_before_has_the_digest_of_before():
    assert scores.service_digests(BEFORE) == DIGESTS


@pytest.mark.parametrize("name", BODIES)
def test_podman_is_told_of_a_service_of_before_what_it_was_told(name: str):
    (service,) = (s for s in scores.decode("PodmanV0", BEFORE).services if s.name == name)
    workload = Workload(DeploymentName("web"), service, DIGESTS[name])
    body = specification.specification(
        workload, DeviceId("pi-01"), ulimits={"nofile": 1024}, stop_timeout=10, log_max_size=1000
    )
    # One that is made anew joins its deployment's network; one that runs stays where it is.
    assert body.pop("Networks") == {"fleet.web": {"aliases": [name]}}
    told = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    assert told == BODIES[name], body


def test_another_content_of_a_file_is_another_digest():
    def digest(content: str) -> str:
        files = [{"path": "/a", "content": content}]
        service = {"name": "a", "image": "x", "files": files}
        return scores.service_digests({"services": [service]})["a"]

    assert digest("one") != digest("two")
