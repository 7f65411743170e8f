"""Pulling from registries that want a password, or speak plain HTTP, as the configuration says."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.settings import Registry as Entry
from fleet.contracts.scores import PullPolicy
from tests.integration.agent.agent_process import DEVICE
from tests.podman_host import IMAGE, ULIMITS, PodmanHost
from tests.registry import PASSWORD, USER, Registry, running_registry

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module", params=["locked", "open"])
def registry(
    request: pytest.FixtureRequest,
    shared_host: PodmanHost,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Registry]:
    """A registry over plain HTTP with an image in it, which a test may ask to be locked."""
    root = tmp_path_factory.mktemp(request.param)
    locked = request.param == "locked"
    with running_registry(root, shared_host.enter, locked=locked) as made:
        made.push(shared_host, IMAGE, "team/busybox:1")
        yield made


locked = pytest.mark.parametrize("registry", ["locked"], indirect=True)
unlocked = pytest.mark.parametrize("registry", ["open"], indirect=True)


@contextlib.contextmanager
def configured(host: PodmanHost, entries: dict[str, Entry]) -> Iterator[PodmanRuntime]:
    """Make an adapter with these entries for registries."""
    made = PodmanRuntime(DEVICE, Options(socket=host.socket, ulimits=ULIMITS, registries=entries))
    try:
        yield made
    finally:
        made.close()


def known(path: Path, password: str) -> Entry:
    """Write a password, and the entry that names it."""
    path.write_text(f"{password}\n")
    path.chmod(0o600)
    return Entry(username=USER, password_file=path)


@locked
async def test_a_password_in_the_configuration_opens_its_registry(
    host: PodmanHost, registry: Registry, tmp_path: Path
):
    entries = {registry.address: known(tmp_path / "password", PASSWORD)}
    with configured(host, entries) as runtime:
        fetched = await runtime.fetch(registry.reference("team/busybox:1"), PullPolicy.ALWAYS)
    assert fetched is not None


@locked
async def test_the_longest_prefix_says_which_password(
    host: PodmanHost, registry: Registry, tmp_path: Path
):
    entries = {
        registry.address: known(tmp_path / "wrong", "wrong"),
        registry.reference("team"): known(tmp_path / "password", PASSWORD),
    }
    with configured(host, entries) as runtime:
        await runtime.fetch(registry.reference("team/busybox:1"), PullPolicy.ALWAYS)
        with pytest.raises(errors.RegistryUnauthorized):
            await runtime.fetch(registry.reference("teamwork/busybox:1"), PullPolicy.ALWAYS)


@locked
async def test_a_wrong_password_is_told_and_one_put_right_needs_no_restart(
    host: PodmanHost, registry: Registry, tmp_path: Path
):
    image = registry.reference("team/busybox:1")
    entries = {registry.address: known(tmp_path / "password", "wrong")}
    with configured(host, entries) as runtime:
        with pytest.raises(errors.RegistryUnauthorized):
            await runtime.fetch(image, PullPolicy.ALWAYS)
        known(tmp_path / "password", PASSWORD)
        await runtime.fetch(image, PullPolicy.ALWAYS)
        (tmp_path / "password").unlink()
        with pytest.raises(errors.RegistryUnauthorized, match=r"no password for .*No such file"):
            await runtime.fetch(image, PullPolicy.ALWAYS)


@unlocked
async def test_a_registry_without_tls_is_reached_only_where_the_configuration_says_so(
    host: PodmanHost, registry: Registry
):
    image = f"{registry.strict_address}/team/busybox:1"
    told = pytest.raises(errors.ImagePullFailed, match="insecure = true")
    with configured(host, {}) as runtime, told:
        await runtime.fetch(image, PullPolicy.ALWAYS)
    with configured(host, {registry.strict_address: Entry(insecure=True)}) as runtime:
        await runtime.fetch(image, PullPolicy.ALWAYS)


@locked
async def test_a_password_goes_to_its_own_registry_only(
    host: PodmanHost, registry: Registry, tmp_path: Path
):
    entries = {"registry.example.org": known(tmp_path / "password", PASSWORD)}
    with configured(host, entries) as runtime, pytest.raises(errors.RegistryUnauthorized):
        await runtime.fetch(registry.reference("team/busybox:1"), PullPolicy.ALWAYS)
