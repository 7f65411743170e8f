"""The machines that the contract suite runs over: this one, and this one over a real sshd."""

import pytest

from fleet.scores.linux.local import LocalMachine
from fleet.scores.linux.topology import LinuxHostTopology
from tests.integration.scores.device.sandbox import sandbox
from tests.integration.scores.linux import sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with sshd.running(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path):
    """One that the test may kill."""
    directory = tmp_path / "sshd"
    directory.mkdir()
    with sshd.running(directory) as running:
        yield running


@pytest.fixture(params=["local", "ssh"])
def machine(request):
    if request.param == "local":
        yield LocalMachine()
    else:
        with request.getfixturevalue("server").connect() as remote:
            yield remote


@pytest.fixture
def topology(machine):
    return LinuxHostTopology(machine)


@pytest.fixture
def own_machine(tmp_path):
    """A machine with an /etc and a /home of its own."""
    directory = tmp_path / "sandbox"
    directory.mkdir()
    with sandbox(directory) as own:
        yield own
