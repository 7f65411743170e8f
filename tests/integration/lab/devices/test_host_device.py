"""`lab.devices.host`: a device runs real containers that answer on its own address."""

import asyncio
import os
import signal
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from fleet import directories
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.contracts import scores
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.scores.score import Change
from lab.devices import host as host_devices
from lab.devices import rootless
from lab.devices.host_device import HostDevice
from lab.host import mounts, network, processes
from lab.host.cgroups import CgroupsScore
from lab.host.lab_host import LabHost
from lab.host.network import FirewallScore
from lab.images import demo_images, shared_store
from lab.images.push import PushedScore
from lab.images.shared_store import BaseStoreScore
from lab.lifecycle import take_down
from lab.services import registry
from lab.system import commands, podman_configuration, procfs, trees, waiting
from lab.system.procfs import Identity

PORT = 8080
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(params=["rootful", "rootless"])
def device(lab_host: LabHost, request: pytest.FixtureRequest) -> HostDevice:
    """A device with its podman up, and a registry with the demo images. No agent."""
    images = registry.registry(lab_host)
    device = HostDevice(
        "dev-01", 1, {}, "nats://x", Path("/none"), images.address, shared_store.store()
    )
    if request.param == "rootless":
        device = replace(device, base=None, user=lab_host.addresses.user(1))
    for score in (
        FirewallScore(),
        *registry.scores(images),
        PushedScore(images.address, demo_images.demos()),
        BaseStoreScore(),
        CgroupsScore(),
        *host_devices.ground(lab_host, [device.id]),
        *parts(lab_host, device),
    ):
        score.interpret(lab_host).expect()
    return device


@pytest.fixture
def page(lab_host: LabHost, device: HostDevice) -> str:
    """A container that serves the demo's page; the URL at which it answers from outside."""
    image = f"{device.registry}/demo/hello-web:v1"
    podman(lab_host, device, "run", "-d", "--name=web", f"--publish={PORT}:8080", image)
    url = f"http://{lab_host.addresses.device(1)}:{PORT}/"
    waiting.wait_for("the page answers", lambda: "" if get(url) else "silent", within=20)
    return url


def parts(host: LabHost, device: HostDevice):
    """Return the device's scores but those of its agent, which would look for NATS."""
    return host_devices.computer(host, device)


def podman(host: LabHost, device: HostDevice, *argv: str) -> str:
    url = f"unix://{host_devices.socket_of(host, device.id)}"
    return commands.run("podman", "--url", url, *argv)


def get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=3) as answer:
        return str(answer.read().decode())


def users(host: LabHost) -> range:
    """Return the ids of the device, if it is rootless."""
    first = host.addresses.user(1)
    return range(first, first + rootless.IDS)


def facts(host: LabHost, device: HostDevice) -> str:
    return podman(host, device, "inspect", "web", "--format={{.Id}} {{.State.StartedAt}}")


def test_a_published_port_answers_on_the_devices_address(page: str):
    assert "hello-web v1" in get(page)


def process(host: LabHost, device: HostDevice) -> Identity:
    """Return the container's first process."""
    found = procfs.identify(int(podman(host, device, "inspect", "web", "--format={{.State.Pid}}")))
    assert found
    return found


@pytest.mark.parametrize("device", ["rootful"], indirect=True)
def test_layers_of_the_shared_store_are_not_copied(
    lab_host: LabHost, device: HostDevice, page: str
):
    store = host_devices.root_of(lab_host, device.id) / "store"
    copies = [path for path in store.rglob("busybox") if not path.is_symlink()]

    assert [path for path in copies if "merged" not in path.parts] == []


def test_a_killed_podman_comes_back_and_the_container_never_noticed(
    lab_host: LabHost, device: HostDevice, page: str
):
    before = facts(lab_host, device)
    pid = processes.pid_of(lab_host.ledger, device.podman_part)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    waiting.wait_for("it is gone", lambda: "" if not procfs.identify(pid) else "alive", within=5)

    changed = [
        outcome.score
        for score in parts(lab_host, device)
        if (outcome := score.interpret(lab_host).expect()).change is Change.CHANGED
    ]

    assert changed == ["process podman-dev-01"]
    assert facts(lab_host, device) == before
    assert "hello-web v1" in get(page)


def test_a_device_that_boots_again_has_its_containers_stopped_and_can_start_them(
    lab_host: LabHost, device: HostDevice, page: str
):
    container, before = facts(lab_host, device).split()[0], process(lab_host, device)
    for path in lab_host.state.joinpath("ns").iterdir():
        mounts.unmount(path)  # what a reboot of the host leaves of namespaces

    for score in parts(lab_host, device):
        score.interpret(lab_host).expect()

    assert not procfs.is_alive(before)
    podman(lab_host, device, "start", "web")
    waiting.wait_for("the page answers", lambda: "" if get(page) else "silent", within=20)
    assert facts(lab_host, device).split()[0] == container


@pytest.mark.parametrize("device", ["rootless"], indirect=True)
def test_nothing_of_a_rootless_device_runs_as_root(
    lab_host: LabHost, device: HostDevice, page: str
):
    served = process(lab_host, device)
    podman_service = processes.pid_of(lab_host.ledger, device.podman_part)
    inside = procfs.in_namespace(network.namespaces(lab_host, device.id).net)

    own = {who.pid for who in procfs.of_users(users(lab_host))}
    assert {served.pid, podman_service, *(who.pid for who in inside)} <= own
    assert podman(lab_host, device, "info", "--format={{.Host.Security.Rootless}}") == "true\n"


@pytest.mark.parametrize("device", ["rootless"], indirect=True)
def test_the_host_knows_no_user_of_a_rootless_device(lab_host: LabHost, device: HostDevice):
    found = [Path("/etc", name).read_text() for name in ("passwd", "group", "subuid", "subgid")]

    assert str(device.user) not in "".join(found)
    enter = host_devices.inside(lab_host, device).enter()
    assert commands.run(*enter, "id", "-un") == "device\n"


def test_down_leaves_no_process_mount_cgroup_or_file(
    lab_host: LabHost, device: HostDevice, page: str
):
    container, before = facts(lab_host, device).split()[0], process(lab_host, device)

    assert take_down.undo_all(lab_host, lambda _: None) == ()

    assert not procfs.is_alive(before)
    assert not procfs.of_users(users(lab_host))
    assert not any(p.name.endswith(container) for p in trees.directories(Path("/sys/fs/cgroup")))
    assert str(lab_host.state) not in Path("/proc/self/mountinfo").read_text()
    assert [path.name for path in lab_host.state.iterdir()] == ["logs"]


def test_down_works_without_podmans_help(lab_host: LabHost, device: HostDevice, page: str):
    """Also when nothing but the container's own processes is left of the device."""
    before = process(lab_host, device)
    (host_devices.root_of(lab_host, device.id) / "storage.conf").write_text("nonsense [")

    assert take_down.undo_all(lab_host, lambda _: None) == ()

    assert not procfs.is_alive(before)
    assert not procfs.of_users(users(lab_host))
    assert directories.cache_dir().is_dir()


def test_services_find_each_other_by_name_and_down_leaves_no_server_of_names(
    lab_host: LabHost, device: HostDevice
):
    asyncio.run(run_services(lab_host, device, "db", "web"))

    def missing() -> str:
        page = ("wget", "-qO-", "http://db:8080/")
        shown = podman(lab_host, device, "exec", "fleet.demo.web", *page)
        return "" if "hello-web" in shown else shown or "nothing"

    waiting.wait_for("web reaches db by its name", missing, within=20)
    (server,) = servers_of_names(lab_host, device)

    assert take_down.undo_all(lab_host, lambda _: None) == ()
    assert not procfs.is_alive(server)


async def run_services(host: LabHost, device: HostDevice, *names: str) -> None:
    """Run services of a deployment `demo`, as the device's agent does."""
    engine = podman_configuration.engine_here()
    ulimits = engine.limits.as_dict() if engine.limits else {}
    socket = f"unix://{host_devices.socket_of(host, device.id)}"
    runtime = PodmanRuntime(DeviceId(device.id), Options(socket, ulimits=ulimits))
    image = f"{device.registry}/demo/hello-web:v1"
    await runtime.fetch(image, scores.PullPolicy.IF_NOT_PRESENT)
    for name in names:
        made = Workload(DeploymentName("demo"), scores.Service(name=name, image=image), "d1")
        await runtime.create(made)
        await runtime.start(made.name)
    runtime.close()


def servers_of_names(host: LabHost, device: HostDevice) -> list[Identity]:
    """Find the processes that answer names on a device."""
    told = host_devices.environment_of(host, device)["CONTAINERS_CONF"]
    found = procfs.with_environment("CONTAINERS_CONF", told)
    return [p for p in found if Path(f"/proc/{p.pid}/comm").read_text().strip() == "aardvark-dns"]
