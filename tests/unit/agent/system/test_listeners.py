"""`listeners`: who has a port, by the kernel's own tables."""

import os
import socket
from pathlib import Path

import pytest

from fleet.agent.system import listeners


@pytest.mark.parametrize(
    ("kind", "protocol"), [(socket.SOCK_STREAM, "tcp"), (socket.SOCK_DGRAM, "udp")]
)
@pytest.mark.parametrize(
    ("family", "address"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")]
)
def test_a_process_that_has_a_port_is_named(
    family: socket.AddressFamily, address: str, kind: socket.SocketKind, protocol: str
):
    with socket.socket(family, kind) as own:
        try:
            own.bind((address, 0))
        except OSError:
            pytest.skip(f"{address} is not there")
        if kind is socket.SOCK_STREAM:
            own.listen()
        port = own.getsockname()[1]
        comm = Path("/proc/self/comm").read_text().strip()
        assert listeners.describe(port, protocol) == f"process {os.getpid()} ({comm})"
    assert listeners.describe(port, protocol) == ""


def test_of_a_process_that_may_not_be_looked_into_the_user_is_named(tmp_path: Path):
    (tmp_path / "net").mkdir()
    row = "0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{row}\n")
    (tmp_path / "12" / "fd").mkdir(parents=True)
    assert listeners.describe(8080, "tcp", tmp_path) == "a process of user root"
    assert listeners.describe(8081, "tcp", tmp_path) == ""


def test_where_the_tables_can_not_be_read_nobody_is_named(tmp_path: Path):
    assert listeners.describe(8080, "tcp", tmp_path) == ""
