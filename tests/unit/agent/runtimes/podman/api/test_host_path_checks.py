"""`host_path_checks`: a file system that hangs holds up nothing but who mounts it."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman import host_paths
from fleet.agent.runtimes.podman.api import runtime
from fleet.agent.runtimes.podman.api.host_path_checks import HostPathChecks
from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime
from fleet.agent.runtimes.podman.host_paths import HostPaths
from fleet.contracts.names import DeviceId
from fleet.contracts.scores import Volume
from tests.unit.agent.world import service, workload

OWN = HostPaths(((Path("/var/lib/agent"), "the agent's state"),))


class Share:
    """A network share at /share whose server may be gone."""

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.looks: list[str] = []

    def real(self, path: Path) -> Path:
        if path.is_relative_to("/share"):
            self.looks.append(str(path))
            self.is_back.wait()
        return path


@pytest.fixture
def share(monkeypatch: pytest.MonkeyPatch) -> Iterator[Share]:
    share = Share()
    monkeypatch.setattr(host_paths, "_real", share.real)
    yield share
    share.is_back.set()


def mounts(name: str, path: str):
    """Make what a service that mounts *path* mounts."""
    return (Volume(mount_path=f"/{name}", host_path=path),)


async def test_a_path_that_hangs_is_told_and_looked_at_by_one_thread(share: Share):
    checks = HostPathChecks(OWN, within=1.0)
    wanting = service("a", volumes=mounts("a", "/share/x"))
    asked = (checks.check(wanting) for _ in range(3))
    for error in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(error, errors.HostPathUnavailable)
        assert "hostPath /share/x doesn't answer" in str(error)
        assert error.element == "a"
    assert share.looks == ["/share/x"]
    await checks.check(service("b", volumes=mounts("b", "/srv")))
    share.is_back.set()
    await checks.check(wanting)


async def test_what_was_made_meanwhile_is_asked_at_each_start_and_what_was_there_before_is_not(
    tmp_path: Path,
):
    (own := tmp_path / "own").mkdir()
    (tmp_path / "data").mkdir()
    (link := tmp_path / "srv").symlink_to(tmp_path / "data")
    checks = HostPathChecks(HostPaths(((own, "the agent's state"),)))
    checks.made("made", service("a", volumes=mounts("a", str(link))))
    await checks.check_again("made")
    link.unlink()
    link.symlink_to(own)
    with pytest.raises(errors.HostPathForbidden):
        await checks.check_again("made")
    await checks.check_again("before")
    checks.forget("made")
    await checks.check_again("made")


@pytest.mark.parametrize("verb", ["check", "create"])
async def test_paths_that_hang_hold_up_nothing_else_that_podman_is_asked(
    share: Share, verb: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setattr(
        runtime, "HostPathChecks", lambda own: HostPathChecks(own, within=0.05), raising=False
    )
    options = Options(socket=f"unix://{tmp_path}/none.sock", host_paths=OWN)
    podman = PodmanRuntime(DeviceId("dev-01"), options)
    wanted = [workload(f"s{n}", volumes=mounts("m", f"/share/{n}")) for n in range(options.workers)]
    stuck = [asyncio.create_task(getattr(podman, verb)(each)) for each in wanted]
    await asyncio.wait(stuck, timeout=0.2)
    async with asyncio.timeout(5):
        with pytest.raises(errors.RuntimeUnavailable):
            await podman.observe()
    assert {type(each.exception()) for each in stuck} == {errors.HostPathUnavailable}
