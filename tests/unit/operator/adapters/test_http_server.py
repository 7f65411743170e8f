"""The probes: what is wrong is said with a status that Kubernetes takes for a failure."""

import aiohttp
import pytest

from fleet.operator import main
from fleet.operator.adapters import http_server
from fleet.operator.adapters.http_server import Answers, Listen
from fleet.supervision.pulse import Pulse
from lab.system import ports


async def ask(path: str, answers: Answers) -> tuple[int, str]:
    """Ask a server that gives *answers*."""
    address = Listen("127.0.0.1", ports.free())
    async with http_server.serving(address, address, answers), aiohttp.ClientSession() as session:
        url = f"http://{address.host}:{address.port}{path}"
        async with session.get(url) as response:
            return response.status, await response.text()


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_probe_fails_with_the_reason(path: str):
    bad = Answers(lambda: "stalled", lambda: "stalled", lambda: b"")
    well = Answers(lambda: "", lambda: "", lambda: b"")
    assert await ask(path, bad) == (503, "stalled\n")
    assert await ask(path, well) == (200, "ok\n")


async def test_a_probe_with_a_bug_fails():
    def broken() -> str:
        raise ZeroDivisionError

    status, _ = await ask("/healthz", Answers(broken, broken, lambda: b""))
    assert status == 500


def test_a_loop_that_does_not_turn_is_unhealthy():
    now = 0.0
    pulse = Pulse(lambda: now, every=1.0)
    now = 5.0
    assert main.unhealthy(pulse) == ""
    now = 12.0
    assert main.unhealthy(pulse) == "no turn of the event loop for 11 s"
