"""`error_messages`: texts that were seen, and what they mean."""

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api import error_messages


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("reading manifest none in 127.0.0.1:5100/busybox: manifest unknown", errors.ImageNotFound),
        ("reading manifest 1 in host/none: name unknown: repository name", errors.ImageNotFound),
        ("no image found in manifest list for architecture arm64", errors.ImageNotFound),
        (
            "unable to retrieve auth token: unauthorized: authentication",
            errors.RegistryUnauthorized,
        ),
        ("requested access to the resource is denied", errors.RegistryUnauthorized),
        ("invalid reference format", errors.InvalidImage),
        ('short-name "x" did not resolve to an alias', errors.InvalidImage),
        ("dial tcp 127.0.0.1:5999: connect: connection refused", errors.ImagePullFailed),
        ("lookup registry.invalid: no such host", errors.ImagePullFailed),
        ("writing blob: storing blob: write /x: no space left on device", errors.DiskFull),
    ],
)
def test_a_pull(text: str, error: type[errors.FleetError]):
    found = error_messages.of_pull(text, element="image")
    assert type(found) is error
    assert (str(found), found.element) == (text, "image")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'the container name "x" is already in use by 4a: that name is already in use',
            errors.NameTaken,
        ),
        ("localhost/none:1: image not known", errors.ImageNotFound),
        ("localhost/none:1: no such image", errors.ImageNotFound),
        ("something else", errors.ContainerFailed),
        ("statfs /nowhere: no such file or directory", errors.HostPathMissing),
        ('"CAP_X": unknown capability', errors.CapabilityUnavailable),
    ],
)
def test_a_creation(text: str, error: type[errors.FleetError]):
    assert type(error_messages.of_create(text, element="a")) is error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "cannot listen on the TCP port: listen tcp4 :8080: bind: address already in use",
            errors.PortInUse,
        ),
        ("runc: exec: /none: no such file or directory", errors.ContainerFailed),
        (
            "crun: the requested cgroup controller `memory` is not available: OCI runtime error",
            errors.LimitUnavailable,
        ),
        ("rootlessport cannot expose privileged port 80, you can add", errors.PortForbidden),
    ],
)
def test_a_start(text: str, error: type[errors.FleetError]):
    assert type(error_messages.of_start(text, element="a")) is error
