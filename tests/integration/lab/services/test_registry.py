"""The registry as a process."""

import pytest

from lab.host.lab_host import LabHost
from lab.services import registry
from lab.services.registry import PART
from lab.system import probes
from tests.lab_host import LOOPBACK, bring_about, kill, needs, running

pytestmark = [pytest.mark.timeout(60), needs("docker-registry")]


def test_it_answers_is_left_alone_and_repaired(host: LabHost) -> None:
    wanted = registry.registry(host, LOOPBACK)
    bring_about(registry.scores(wanted), host)
    pid = running(host, PART)
    assert probes.http(f"http://{wanted.address}/v2/")() == ""
    assert bring_about(registry.scores(wanted), host) == []
    assert running(host, PART) == pid

    kill(host, PART)
    assert bring_about(registry.scores(registry.registry(host, LOOPBACK)), host) == [
        "process registry"
    ]
    assert probes.http(f"http://{wanted.address}/v2/")() == ""
