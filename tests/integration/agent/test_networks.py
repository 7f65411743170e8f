"""The network of a deployment, over a real podman: names, what stays, what is in the way."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import errors
from fleet.agent.model.workloads import Workload
from fleet.agent.runtimes.podman.api.runtime import PodmanRuntime
from fleet.contracts import containers, scores
from fleet.contracts.messages import Phase
from fleet.contracts.names import DeploymentName
from tests.agent_device import Hub, podman_score
from tests.integration.agent.agent_process import DEVICE
from tests.integration.agent.conftest import Start, make_runtime
from tests.integration.agent.test_deploying import inspect, script, sleeper
from tests.podman_host import IMAGE, PodmanHost, podman_host
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(90)

WEB = DeploymentName("web")
NETWORK = "fleet.web"
DB = script("db", "echo rows > /index.html; httpd -f -p 5432 -h /")
NETAVARK = Path("/usr/lib/podman/netavark")


def networks(host: PodmanHost) -> set[str]:
    """The networks that podman knows."""
    return set(host.podman("network", "ls", "--format={{.Name}}").split())


def of_container(host: PodmanHost, service: str) -> set[str]:
    """The networks that a service of `web` is in."""
    return set(inspect(host, "web", service)["NetworkSettings"]["Networks"])


def ask(host: PodmanHost, container: str, url: str) -> str:
    """Fetch *url* from within a container."""
    command = ("busybox", "wget", "-qO-", url)
    return host.podman("exec", container, *command, check=False)


async def reaches(host: PodmanHost, container: str, url: str = "http://db:5432/") -> None:
    """Wait until a container gets what `db` serves."""

    async def look() -> bool:
        return ask(host, container, url) == "rows"

    await eventually(look, f"{container} reaches {url}")


async def is_gone(host: PodmanHost, network: str = NETWORK) -> None:
    """Wait until there is no such network."""

    async def look() -> bool:
        return network not in networks(host)

    await eventually(look, f"network {network} is gone")


def make_as_before(host: PodmanHost, service: dict[str, Any]) -> None:
    """Run a service as an agent did that knew no networks: in podman's own."""
    score = podman_score(service)
    labels = {
        containers.LABEL_DEVICE: str(DEVICE),
        containers.LABEL_DEPLOYMENT: "web",
        containers.LABEL_SERVICE: service["name"],
        containers.LABEL_DIGEST: scores.service_digests(score.data)[service["name"]],
    }
    host.podman(
        *("run", "--detach", f"--name=fleet.web.{service['name']}", "--network=podman"),
        *(f"--label={key}={value}" for key, value in labels.items()),
        *(IMAGE, *service["command"], *service["args"]),
    )


async def test_services_of_a_deployment_find_each_other_by_name_and_no_other_ones(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", DB, sleeper("web"))
        await hub.deploy("other", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.reaches("other", Phase.RUNNING)
        await reaches(host, "fleet.web.web")
        assert ask(host, "fleet.other.a", "http://db:5432/") == ""
    found = json.loads(host.podman("network", "inspect", NETWORK))[0]["labels"]
    assert found == {containers.LABEL_DEVICE: DEVICE, containers.LABEL_DEPLOYMENT: "web"}


async def test_a_container_of_before_stays_as_it_is_and_new_ones_join_the_network(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    old = sleeper("old")
    make_as_before(host, old)
    before = host.containers()["fleet.web.old"]
    async with start_agent():
        await hub.deploy("web", old, DB, sleeper("web"))
        await hub.reaches("web", Phase.RUNNING)
        await reaches(host, "fleet.web.web")
        assert host.containers()["fleet.web.old"] == before
        assert of_container(host, "old") == {"podman"}

        revision = await hub.deploy("web", sleeper("old", env={"NEW": "1"}), DB, sleeper("web"))
        await hub.reaches("web", Phase.RUNNING, revision=revision)
        await reaches(host, "fleet.web.old")
        assert of_container(host, "old") == {NETWORK}


async def test_a_network_goes_with_its_deployment_and_no_other_one_does(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    host.podman("network", "create", "theirs")
    async with start_agent():
        await hub.deploy("web", sleeper("a"), sleeper("b"))
        await hub.deploy("other", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        await hub.reaches("other", Phase.RUNNING)
        assert networks(host) == {"podman", "theirs", NETWORK, "fleet.other"}
        await hub.withdraw("web")
        await hub.is_gone("web")
        assert networks(host) == {"podman", "theirs", "fleet.other"}


async def test_a_network_without_deployment_is_removed_at_the_next_start_and_theirs_is_not(
    hub: Hub, host: PodmanHost, runtime: PodmanRuntime, start_agent: Start
):
    await hub.deploy("web", sleeper("a"))
    for deployment in ("web", "gone"):
        made = Workload(DeploymentName(deployment), scores.Service(name="a", image=IMAGE), "d1")
        await runtime.create(made)
    host.podman("rm", "fleet.gone.a")
    host.podman("network", "create", "--label", f"{containers.LABEL_DEVICE}=dev-02", "fleet.x")
    host.podman("network", "create", "fleet.y")
    async with start_agent():
        await hub.reaches("web", Phase.RUNNING)
        await is_gone(host, "fleet.gone")
    assert networks(host) == {"podman", NETWORK, "fleet.x", "fleet.y"}


async def test_a_network_that_somebody_removed_with_its_containers_comes_back(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent(resync=3600):
        await hub.deploy("web", DB, sleeper("web"))
        await hub.reaches("web", Phase.RUNNING)
        host.podman("network", "rm", "--force", "--time=0", NETWORK)
        await reaches(host, "fleet.web.web")


@pytest.mark.parametrize(
    ("label", "whose"), [("any=thing", "is not a network of Fleet"), ("", "is of device dev-02")]
)
async def test_a_network_of_our_name_that_is_not_ours_is_told_and_the_version_before_serves_on(
    hub: Hub, host: PodmanHost, start_agent: Start, label: str, whose: str
):
    old = sleeper("a")
    make_as_before(host, old)
    before = host.containers()
    label = label or f"{containers.LABEL_DEVICE}=dev-02"
    host.podman("network", "create", "--label", label, NETWORK)
    async with start_agent():
        await hub.deploy("web", old)
        await hub.reaches("web", Phase.RUNNING)
        await hub.deploy("web", sleeper("a", env={"NEW": "1"}))
        state = await hub.reaches("web", Phase.FAILED, reason="NameTaken")
        assert state.error
        assert whose in state.error.message
        assert f"`podman network rm {NETWORK}`" in state.error.message
        assert host.containers() == before
        host.podman("network", "rm", NETWORK)
        await hub.reaches("web", Phase.RUNNING, within=40)
        await hub.withdraw("web")
        await hub.is_gone("web")


async def test_what_somebody_else_runs_on_our_network_keeps_it_and_holds_up_no_withdrawal(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", sleeper("a"))
        await hub.reaches("web", Phase.RUNNING)
        host.podman("run", "-d", "--name=probe", f"--network={NETWORK}", IMAGE, "/bin/sleep", "99")
        before = host.containers()["probe"]
        await hub.withdraw("web")
        await hub.is_gone("web")
        assert host.containers() == {"probe": before}
        assert NETWORK in networks(host)


@pytest.fixture
def narrow() -> Iterator[PodmanHost]:
    """A podman with addresses for one network besides its own."""
    pools = 'default_subnet_pools = [{"base" = "10.77.0.0/24", "size" = 24}]'
    with podman_host(network=pools) as made:
        yield made


async def test_a_network_for_which_no_addresses_are_left_is_told_with_what_to_do(
    narrow: PodmanHost,
):
    def one(deployment: str) -> Workload:
        return Workload(DeploymentName(deployment), scores.Service(name="a", image=IMAGE), "d1")

    with make_runtime(narrow) as runtime:
        await runtime.create(one("web"))
        with pytest.raises(errors.NetworkUnavailable, match="default_subnet_pools") as caught:
            await runtime.create(one("other"))
        assert "network fleet.other can't be made" in str(caught.value)
        await runtime.remove("fleet.web.a")
        await runtime.release(WEB)
        await runtime.create(one("other"))


def dns_server() -> Workload:
    """A service that wants the port at which names are answered."""
    port = scores.Port(host=53, container=53, protocol=scores.Protocol.UDP)
    service = scores.Service(
        name="dns", image=IMAGE, command=("/bin/sleep",), args=("99",), ports=(port,)
    )
    return Workload(WEB, service, "d1")


async def test_a_service_that_wants_the_port_of_names_is_told_how_to_move_that(
    runtime: PodmanRuntime,
):
    await runtime.create(db())
    await runtime.start("fleet.web.db")
    await runtime.create(dns_server())
    with pytest.raises(errors.PortInUse, match="dns_bind_port"):
        await runtime.start("fleet.web.dns")


async def test_a_service_has_the_port_of_names_where_that_was_moved():
    with podman_host(network="dns_bind_port = 1053") as host, make_runtime(host) as runtime:
        for made in (db(), dns_server()):
            await runtime.create(made)
            await runtime.start(made.name)
        await reaches(host, "fleet.web.dns")


def db() -> Workload:
    """The service that answers as `db`."""
    command, args = tuple(DB["command"]), tuple(DB["args"])
    return Workload(WEB, scores.Service(name="db", image=IMAGE, command=command, args=args), "d1")


@pytest.fixture
def nameless(tmp_path: Path) -> Iterator[PodmanHost]:
    """A podman without the program that answers names."""
    (tmp_path / "netavark").symlink_to(shutil.which("netavark") or NETAVARK)
    with podman_host(engine=f'helper_binaries_dir = ["{tmp_path}"]') as made:
        yield made


async def test_without_a_server_of_names_a_service_runs_all_the_same(nameless: PodmanHost):
    service = scores.Service(name="a", image=IMAGE, command=("/bin/sleep",), args=("99",))
    with make_runtime(nameless) as runtime:
        await runtime.create(Workload(WEB, service, "d1"))
        await runtime.start("fleet.web.a")
    assert nameless.name_server() is None
    assert nameless.podman("ps", "--format={{.Names}}") == "fleet.web.a"


async def test_a_network_that_vanished_beneath_a_container_is_made_again_for_its_start(
    nameless: PodmanHost,
):
    service = scores.Service(name="a", image=IMAGE, command=("/bin/sleep",), args=("99",))
    with make_runtime(nameless) as runtime:
        await runtime.create(Workload(WEB, service, "d1"))
        (nameless.root / f"networks/{NETWORK}.json").unlink()
        await runtime.start("fleet.web.a")
        assert NETWORK in networks(nameless)
        assert await runtime.shared() == {WEB}


async def test_a_server_of_names_that_was_killed_comes_back_with_the_next_container_that_starts(
    hub: Hub, host: PodmanHost, start_agent: Start
):
    async with start_agent():
        await hub.deploy("web", DB, sleeper("web"))
        await hub.reaches("web", Phase.RUNNING)
        await reaches(host, "fleet.web.web")
        host.end_name_server()
        host.podman("kill", "fleet.web.web")
        await reaches(host, "fleet.web.web")
