"""`error_messages`: texts that were seen, and what they mean."""

from collections.abc import Callable

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api import error_messages
from tests.unit.agent.world import container


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
        ('Invalid image name "Foo/b:1", unknown transport "Foo/b"', errors.InvalidImage),
        ('unsupported transport oci in "oci:/x": only docker', errors.InvalidImage),
        ("repository name must not be more than 255 characters", errors.InvalidImage),
        ('short-name "x" did not resolve to an alias', errors.InvalidImage),
        ("dial tcp 127.0.0.1:5999: connect: connection refused", errors.ImagePullFailed),
        ("lookup registry.invalid: no such host", errors.ImagePullFailed),
        ("writing blob: storing blob: write /x: no space left on device", errors.DiskFull),
    ],
)
def test_a_pull(text: str, error: type[errors.FleetError]):
    image = "registry.local:5000/team/app:1"
    found = error_messages.of_pull(text, element=image)
    assert type(found) is error
    assert found.element == image
    told, _, advised = str(found).partition(": ")[2].partition(". Podman says: ")
    assert image in str(found)
    assert told
    assert advised == text


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("registry.local:5000/team/app:1", "registry registry.local:5000 does not have"),
        ("registry:5000/team/app:1", "registry registry:5000 does not have"),
        ("quay.io/team/app@sha256:1", "registry quay.io does not have"),
        ("localhost/app:1", "registry localhost does not have"),
        ("team/app:1", "the registry that podman is configured with does not have"),
        ("app:1", "the registry that podman is configured with does not have"),
    ],
)
def test_the_registry_that_has_no_such_image_is_named(image: str, registry: str):
    found = str(error_messages.of_pull("manifest unknown", element=image))
    assert found.startswith(f"{registry} {image}: check its name and tag")


def test_a_registry_without_tls_is_told_with_the_setting():
    text = "pinging: http: server gave HTTP response to HTTPS client"
    assert "insecure = true" in str(error_messages.of_pull(text, element="a.b/c:1"))


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
        (
            "sysctl net.core.somaxconn=1 can't be set since Network Namespace set to host",
            errors.SysctlUnavailable,
        ),
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
        (
            "listen tcp4 10.9.9.9:80: bind: cannot assign requested address",
            errors.AddressUnavailable,
        ),
        ("runc: exec: /none: no such file or directory", errors.ContainerFailed),
        (
            "crun: the requested cgroup controller `memory` is not available: OCI runtime error",
            errors.LimitUnavailable,
        ),
        ("rootlessport cannot expose privileged port 80, you can add", errors.PortForbidden),
        *(
            (f"runc: error during container init: {said}", errors.SysctlUnavailable)
            for said in (
                "write /proc/sys/net/core/somaxconn: invalid argument",
                "open /proc/sys/net/core/nothing: no such file or directory",
                "open /proc/sys/net/core/rmem_max: permission denied",
            )
        ),
        ("crun: open `/proc/sys/net/core/x`: Permission denied", errors.SysctlUnavailable),
        ("crun: write to `/proc/sys/net/core/x`: Invalid argument", errors.SysctlUnavailable),
    ],
)
def test_a_start(text: str, error: type[errors.FleetError]):
    assert type(error_messages.of_start(text, element="a")) is error


def test_the_port_at_which_names_are_answered_is_told_with_how_to_move_that():
    text = "cannot listen on the UDP port: listen udp4 :53: bind: address already in use"
    holder = "process 12 (aardvark-dns)"
    for error in (
        error_messages.of_start(text, element="a"),
        error_messages.taken("53/udp", holder, element="a"),
    ):
        assert isinstance(error, errors.PortInUse)
        assert "dns_bind_port" in str(error)
    assert "dns_bind_port" not in str(error_messages.of_start(text.replace("53", "54"), element=""))


A = "fleet.web.a"
NAMES_TAKEN = "listen udp4 :53: bind: address already in use"
HOLDER = container("b", deployment="other")


@pytest.mark.parametrize(
    ("make", "kind", "element", "told"),
    [
        pytest.param(
            lambda: error_messages.no_reference("Foo"),
            errors.InvalidImage,
            "Foo",
            ("Foo names no image: write registry/name:tag",),
            id="no reference",
        ),
        pytest.param(
            lambda: error_messages.broken_off("app:1", "no route"),
            errors.ImagePullFailed,
            "app:1",
            ("app:1 broke off: no route",),
            id="broken off",
        ),
        pytest.param(
            lambda: error_messages.absent("app:1"),
            errors.ImageNotFound,
            "app:1",
            ("app:1 is not on the device", "choose another pullPolicy"),
            id="absent",
        ),
        pytest.param(
            lambda: error_messages.of_start(NAMES_TAKEN, element="a"),
            errors.PortInUse,
            "a",
            (NAMES_TAKEN, "dns_bind_port = 1053"),
            id="port of names, at start",
        ),
        pytest.param(
            lambda: error_messages.taken("53/udp", "process 12 (aardvark-dns)", element="a"),
            errors.PortInUse,
            "a",
            ("port 53/udp is taken by process 12 (aardvark-dns)", "dns_bind_port = 1053"),
            id="port of names",
        ),
        pytest.param(
            lambda: error_messages.taken("80/tcp", "process 7 (nginx)", element="a"),
            errors.PortInUse,
            "a",
            ("port 80/tcp is taken by process 7 (nginx); stop what listens there",),
            id="port",
        ),
        pytest.param(
            lambda: error_messages.device_taken("/dev/ttyUSB0", HOLDER, element="a"),
            errors.DeviceInUse,
            "a",
            ("/dev/ttyUSB0 is taken by service b of deployment other", "shared: true"),
            id="device",
        ),
        pytest.param(
            lambda: error_messages.in_use(A, {"probe", "debug"}),
            errors.ContainerInUse,
            A,
            ("fleet.web.a can't be removed: debug, probe, not Fleet's", "remove that container"),
            id="in use",
        ),
        pytest.param(
            lambda: error_messages.name_taken(A, "", "new"),
            errors.NameTaken,
            A,
            ("fleet.web.a is not a container of Fleet; remove or rename it",),
            id="container of nobody we know",
        ),
        pytest.param(
            lambda: error_messages.name_taken(A, "old", "new"),
            errors.NameTaken,
            A,
            ("of device old", "new had that id", 'device_id = "old"', "podman rm --force"),
            id="container of another device",
        ),
        pytest.param(
            lambda: error_messages.network_taken("fleet.web", ""),
            errors.NameTaken,
            "fleet.web",
            ("fleet.web is not a network of Fleet", "podman network rm fleet.web"),
            id="network of nobody we know",
        ),
        pytest.param(
            lambda: error_messages.network_taken("fleet.web", "old"),
            errors.NameTaken,
            "fleet.web",
            ("fleet.web is of device old", "podman network rm fleet.web"),
            id="network of another device",
        ),
        pytest.param(
            lambda: error_messages.no_network("fleet.web", "no subnet is left"),
            errors.NetworkUnavailable,
            "fleet.web",
            ("fleet.web can't be made: no subnet is left; see to podman's networks",),
            id="no network",
        ),
        pytest.param(
            lambda: error_messages.unable(errors.LimitUnavailable, "no pids", element="a"),
            errors.LimitUnavailable,
            "a",
            ("no pids; enable",),
            id="left out",
        ),
        pytest.param(
            lambda: error_messages.of_create("Statfs /nowhere: no such file", element="a"),
            errors.HostPathMissing,
            "a",
            ("Statfs /nowhere: no such file; create the directory",),
            id="creation",
        ),
    ],
)
def test_an_error_names_what_failed_and_tells_why_and_what_to_do(
    make: Callable[[], errors.FleetError],
    kind: type[errors.FleetError],
    element: str,
    told: tuple[str, ...],
):
    error = make()
    assert (type(error), error.element) == (kind, element)
    assert [words for words in told if words not in str(error)] == []


def test_of_what_nobody_knows_only_podman_s_own_words_are_told():
    for found in (
        error_messages.of_create("it said so", element="a"),
        error_messages.of_start("it said so", element="a"),
    ):
        assert (type(found), found.element) == (errors.ContainerFailed, "a")
        assert str(found) == "it said so"


def test_a_network_that_is_gone_is_recognized_however_podman_writes_it():
    assert error_messages.is_without_network("unable to find fleet.web: Network not found")
    assert not error_messages.is_without_network("no such container")
