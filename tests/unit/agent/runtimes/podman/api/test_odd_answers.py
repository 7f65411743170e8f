"""
What podman answers and nobody understands: it costs the container or image that it is about.

The rows beside it are other deployments', so whatever stands in one, they are read.
"""

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import errors
from fleet.agent.runtimes.podman.api import port_holders, translation
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.port import Container, Image, Status
from fleet.contracts import containers
from fleet.contracts.container_fields import File
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.contracts.scores import NetworkMode, Port
from tests.unit.agent.world import workload

DEVICE = DeviceId("dev-01")
WANTED = Port(host=8080, container=80)
PORT = {"host_ip": "", "host_port": 8080, "container_port": 80, "range": 1, "protocol": "tcp"}


def row(deployment: str = "web", **fields: Any) -> dict[str, Any]:
    """Write a row of the listing, as podman 4.3.1 does."""
    return {
        "Id": f"id-{deployment}",
        "Names": [f"fleet.{deployment}.app"],
        "ImageID": "0a1b",
        "State": "running",
        "Status": "healthy",
        "ExitCode": 0,
        "StartedAt": 1700000000,
        "ExitedAt": -62135596800,
        "Pid": 4711,
        "Ports": [dict(PORT)],
        "Labels": {
            containers.LABEL_DEVICE: "dev-01",
            containers.LABEL_DEPLOYMENT: deployment,
            containers.LABEL_SERVICE: "app",
            containers.LABEL_DIGEST: "d" * 64,
            containers.LABEL_RESTART_POLICY: "Always",
        },
        **fields,
    }


IMAGE = {
    "Id": "0a1b",
    "Names": ["app:1"],
    "Size": 1000,
    "Containers": 1,
    "ReadOnly": False,
}
ODD: list[Any] = [
    *(None, True, 5, -1, 1.5, float("inf"), float("nan"), 10**30, "", "odd", "5", "\ud800"),
    *([], [None], ["odd"], {}, {"a": None}, {"a": []}),
]
LABELS = sorted(row()["Labels"])
NAMING = (containers.LABEL_DEPLOYMENT, containers.LABEL_SERVICE, containers.LABEL_RESTART_POLICY)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=4,
)


class Podman(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers each path with what a test says; 404 where it says nothing, 500 if *broken*."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        self.broken: set[str] = set()
        self.answers: dict[str, Any] = {"/images/0a1b/json": {"Digest": "sha256:0a1b"}}
        super().__init__(str(path), _Handler)

    def get_request(self) -> tuple[Any, Any]:
        connected, _ = super().get_request()
        return connected, ("podman", 0)


class _Handler(BaseHTTPRequestHandler):
    server: Podman

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].partition("/libpod")[2]
        found = self.server.answers.get(path)
        told = found if path in self.server.answers else {"message": "no such thing"}
        body = told if isinstance(told, bytes) else json.dumps(told).encode()
        status = 200 if path in self.server.answers else 404
        self.send_response(500 if path in self.server.broken else status)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_DELETE = do_GET  # noqa: N815 - as the library calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def podman(tmp_path: Path) -> Iterator[Podman]:
    with Podman(tmp_path / "socket") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def runtime(podman: Podman) -> Iterator[PodmanRuntime]:
    made = PodmanRuntime(DEVICE, Options(socket=f"unix://{podman.server_address!s}"))
    with contextlib.closing(made):
        yield made


async def observed(podman: Podman, runtime: PodmanRuntime, odd: Any) -> dict[str, Container]:
    """Look at the containers, an *odd* row among them; by deployment."""
    podman.answers["/containers/json"] = [row("before"), odd, row("later")]
    return {str(found.deployment): found for found in await runtime.observe()}


@pytest.mark.parametrize("field", [*row()])
async def test_a_field_that_is_missing_or_odd_costs_that_container_alone(
    podman: Podman, runtime: PodmanRuntime, field: str
):
    missing = {key: value for key, value in row().items() if key != field}
    for odd in [missing, *(row(**{field: value}) for value in ODD)]:
        assert {"before", "later"} <= (await observed(podman, runtime, odd)).keys()


@pytest.mark.parametrize("label", LABELS)
async def test_a_label_that_is_missing_or_odd_costs_that_container_alone(
    podman: Podman, runtime: PodmanRuntime, label: str
):
    labels = row()["Labels"]
    missing = {key: value for key, value in labels.items() if key != label}
    for odd in [missing, *({**labels, label: value} for value in ODD)]:
        assert {"before", "later"} <= (await observed(podman, runtime, row(Labels=odd))).keys()


@pytest.mark.parametrize("field", [*row(), *PORT])
def test_who_has_a_port_is_found_beside_a_row_with_a_field_that_is_missing_or_odd(field: str):
    for value in ODD:
        of_port = {"Ports": [{**PORT, "host_port": 1, field: value}]}
        odd = row("odd", **(of_port if field in PORT else {"Ports": [], field: value}))
        rows = [odd, row("web")]
        assert WANTED in port_holders.wanted(rows, "fleet.web.app")
        assert port_holders.holder(rows, "me", WANTED, {DEVICE}).startswith("deployment ")
        assert port_holders.of_process(rows, (4711,), {DEVICE}).startswith(
            ("deployment", "container")
        )


@pytest.mark.parametrize("odd", ODD, ids=repr)
async def test_a_row_that_is_none_costs_no_other(podman: Podman, runtime: PodmanRuntime, odd: Any):
    assert (await observed(podman, runtime, odd)).keys() == {"before", "later"}
    podman.answers["/images/json"] = [odd, IMAGE]
    assert [found.id for found in await runtime.images()] == ["0a1b"]


@pytest.mark.parametrize("odd", [None, 5, "odd", {}, {"a": 1}])
async def test_a_listing_that_is_none_is_no_answer(
    podman: Podman, runtime: PodmanRuntime, odd: Any
):
    """Nothing is there only where podman says so: else every container would be made again."""
    podman.answers["/containers/json"] = podman.answers["/images/json"] = odd
    with pytest.raises(errors.RuntimeUnavailable):
        await runtime.observe()
    with pytest.raises(errors.RuntimeUnavailable):
        await runtime.images()


@pytest.mark.parametrize("odd", [None, 5, [], {}, {"Digest": None}, {"Digest": 5}])
async def test_an_image_that_does_not_tell_its_digest_costs_no_container(
    podman: Podman, runtime: PodmanRuntime, odd: Any
):
    podman.answers["/images/0a1b/json"] = odd
    found = await observed(podman, runtime, row(ImageID="f00"))
    assert {name: each.image for name, each in found.items()} == dict.fromkeys(found, "")
    podman.answers["/images/0a1b/json"] = {"Digest": "sha256:0a1b"}
    found = await observed(podman, runtime, row(ImageID="f00"))
    assert found["before"].image == "sha256:0a1b"
    assert found["web"].image == ""


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"State": "unknown"}, {"status": Status.BROKEN}),
        ({"State": None}, {"status": Status.BROKEN}),
        ({"State": ["running"]}, {"status": Status.BROKEN}),
        ({"ExitCode": "x"}, {"exit_code": -1}),
        ({"ExitCode": None}, {"exit_code": 0}),
        ({"StartedAt": "2023-11-14T22:13:20Z"}, {"started": 0}),
        ({"ExitedAt": -62135596800}, {"finished": 0}),
        ({"Status": None}, {"health": ""}),
    ],
    ids=str,
)
def test_what_is_not_understood_of_a_container_is_unknown(
    fields: dict[str, Any], expected: dict[str, Any]
):
    found = translation.container(row(**fields), "image")
    assert found is not None
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "fields",
    [
        *({"Id": value} for value in (None, 5, "")),
        *({"Names": value} for value in (None, "fleet.web.app", {"fleet.web.app": 1}, ["other"])),
        {"Labels": None},
        *({"Labels": {**row()["Labels"], label: None}} for label in NAMING),
    ],
    ids=str,
)
def test_what_does_not_say_who_it_is_is_none_of_ours(fields: dict[str, Any]):
    assert translation.container(row(**fields), "image") is None


@given(
    st.dictionaries(st.sampled_from([*row()]), values),
    st.dictionaries(st.sampled_from(LABELS), values),
)
def test_whatever_a_row_says_it_is_read_or_left_out(fields: dict[str, Any], labels: dict[str, Any]):
    odd = row(**{"Labels": {**row()["Labels"], **labels}, **fields})
    assert isinstance(translation.image_id(odd), str)
    found = translation.container(odd, "image")
    if found is not None:
        assert found.name in odd["Names"]
        assert all(isinstance(text, str) for text in (found.id, found.digest, found.health))
        assert found.started >= 0
        assert found.finished >= 0


@given(st.dictionaries(st.sampled_from([*IMAGE]), values))
def test_whatever_a_row_says_of_an_image_it_is_read_or_left_out(fields: dict[str, Any]):
    found = translation.image({**IMAGE, **fields})
    if found is not None:
        assert found.id == {**IMAGE, **fields}["Id"]
        assert all(isinstance(name, str) for name in found.names)
        assert found.size >= 0


def test_an_image_whose_fields_are_understood_is_read():
    assert translation.image(IMAGE) == Image("0a1b", frozenset({"app:1"}), 1000, is_used=True)


def test_of_the_names_of_an_image_those_count_that_are_texts():
    found = translation.image({**IMAGE, "Names": ["app:1", None, 5, "\ud800", ""]})
    assert found is not None
    assert found.names == {"app:1"}


@pytest.mark.parametrize("odd", ["../containers/web", "a?b", "a b", "a\n"])
def test_an_id_that_is_none_names_no_image(odd: str):
    assert translation.image_id(row(ImageID=odd)) == ""


async def test_an_event_that_is_not_understood_ends_no_stream(
    podman: Podman, runtime: PodmanRuntime
):
    died = {"Action": "died", "Actor": {"Attributes": {containers.LABEL_DEPLOYMENT: "web"}}}
    odd: list[Any] = [None, 5, [], {}, {"Action": ["died"]}, {"Action": "died", "Actor": []}]
    podman.answers["/events"] = b"\n".join(json.dumps(event).encode() for event in [*odd, died])
    changes = runtime.changes()
    assert [await anext(changes) for _ in range(3)] == [None, None, "web"]
    with pytest.raises(errors.RuntimeUnavailable, match="ended the stream"):
        await anext(changes)


async def test_events_that_podman_refuses_are_no_stream_that_began(
    podman: Podman, runtime: PodmanRuntime
):
    podman.answers["/events"] = {"message": "no journal"}
    podman.broken.add("/events")
    with pytest.raises(errors.RuntimeUnavailable, match="podman: no journal"):
        await anext(runtime.changes())


@given(values)
def test_whatever_an_event_says_it_is_read(odd: Any):
    for event in (odd, {"Action": odd}, {"status": odd}):
        translation.tells(event)
    for actor in (odd, {"Attributes": odd}, {"Attributes": {containers.LABEL_DEPLOYMENT: odd}}):
        name = translation.deployment_of_event({"Actor": actor})
        assert name is None or name == odd


def test_an_event_of_a_container_that_died_tells_whose_it_is():
    attributes = {containers.LABEL_DEPLOYMENT: "web"}
    event = {"Action": "died", "Actor": {"Attributes": attributes}}
    assert translation.tells(event)
    assert translation.deployment_of_event(event) == DeploymentName("web")


async def test_a_container_of_others_without_labels_is_told_as_such(
    podman: Podman, runtime: PodmanRuntime
):
    podman.answers["/containers/fleet.web.app/json"] = {"Id": "x", "Config": {"Labels": None}}
    with pytest.raises(errors.NameTaken):
        await runtime.remove("fleet.web.app")


async def test_a_container_that_does_not_tell_its_time_to_end_is_removed(
    podman: Podman, runtime: PodmanRuntime
):
    config = {"Labels": row()["Labels"], "StopTimeout": None}
    podman.answers["/containers/fleet.web.app/json"] = {"Id": "x", "Config": config}
    podman.answers["/containers/json"] = [row()]
    await runtime.remove("fleet.web.app")


@pytest.mark.parametrize(
    ("answer", "is_so"),
    [
        ({"State": {"OOMKilled": True}}, True),
        ({"State": {"OOMKilled": False}}, False),
        *((odd, False) for odd in (None, 5, {"State": None}, {"State": {"OOMKilled": "yes"}})),
    ],
)
async def test_a_death_for_want_of_memory_is_told_and_asked_about_once(
    podman: Podman, runtime: PodmanRuntime, answer: Any, is_so: bool
):
    dead = row(State="exited", ExitCode=137, ExitedAt=1700000100, Id="dead")
    podman.answers["/containers/dead/json"] = answer
    assert (await observed(podman, runtime, dead))["web"].out_of_memory is is_so
    podman.answers["/containers/dead/json"] = {"State": {"OOMKilled": not is_so}}
    assert (await observed(podman, runtime, dead))["web"].out_of_memory is is_so
    later = {**dead, "ExitedAt": 1700000200}
    assert (await observed(podman, runtime, later))["web"].out_of_memory is not is_so
    well = {**later, "ExitCode": 0}
    assert not (await observed(podman, runtime, well))["web"].out_of_memory


@pytest.mark.parametrize(("state", "goes"), [("stopping", False), ("paused", True)])
async def test_a_container_whose_stop_failed_is_not_removed_while_it_is_being_stopped(
    podman: Podman, runtime: PodmanRuntime, state: str, goes: bool
):
    """podman 4.3.1 would remove it and let its processes run on."""
    config = {"Labels": row()["Labels"], "StopTimeout": 1}
    details = {"Id": "x", "Config": config, "State": {"Status": state}}
    for name in ("fleet.web.app", "x"):
        podman.answers[f"/containers/{name}/json"] = details
    podman.answers["/containers/json"] = [row()]
    podman.answers["/containers/x/stop"] = {"message": "it did not die"}
    podman.broken.add("/containers/x/stop")
    with contextlib.nullcontext() if goes else pytest.raises(errors.ContainerFailed, match="die"):
        await runtime.remove("fleet.web.app")


@pytest.mark.parametrize("odd", [None, 5, [], {"Dependencies": None}, {"Dependencies": [5]}])
async def test_a_stranger_that_does_not_tell_what_it_depends_on_keeps_no_container_from_going(
    podman: Podman, runtime: PodmanRuntime, odd: Any
):
    config = {"Labels": row()["Labels"], "StopTimeout": 1}
    podman.answers["/containers/fleet.web.app/json"] = {"Id": "x", "Config": config}
    podman.answers["/containers/json"] = [row(), row("odd", Labels=None, Id="odd"), None]
    podman.answers["/containers/odd/json"] = odd
    await runtime.remove("fleet.web.app")


async def test_a_damaged_container_is_removed_beside_one_that_has_no_name(
    podman: Podman, runtime: PodmanRuntime
):
    podman.broken.add("/containers/fleet.web.app/json")
    podman.answers["/containers/json"] = [row("odd", Names=None), row(), row("other")]
    await runtime.remove("fleet.web.app")


async def test_files_of_a_container_that_podman_does_not_say_it_made_go_with_the_next_sweep(
    podman: Podman, tmp_path: Path
):
    options = Options(socket=f"unix://{podman.server_address!s}", files=tmp_path / "files")
    file = File(path="/a", content="secret")
    wanted = workload("app", files=(file,), network_mode=NetworkMode.NONE)
    podman.answers["/containers/create"] = b"odd"
    podman.answers["/containers/json"] = []
    with contextlib.closing(PodmanRuntime(DEVICE, options)) as runtime:
        with pytest.raises(errors.RuntimeUnavailable):
            await runtime.create(wanted)
        (left,) = (tmp_path / "files").iterdir()
        podman.answers["/containers/json"] = [{"Labels": {containers.LABEL_FILES: left.name}}]
        await runtime.sweep()
        assert left.exists()
        podman.answers["/containers/json"] = []
        await runtime.sweep()
        assert not left.exists()
