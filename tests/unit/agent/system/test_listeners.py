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
        own_process = listeners.Listener(f"process {os.getpid()} ({comm})", os.getpid())
        assert listeners.find(port, protocol) == own_process
    assert listeners.find(port, protocol) is None


def test_of_a_process_that_may_not_be_looked_into_the_user_is_named(tmp_path: Path):
    (tmp_path / "net").mkdir()
    row = "0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{row}\n")
    (tmp_path / "12" / "fd").mkdir(parents=True)
    assert listeners.find(8080, "tcp", tmp_path) == listeners.Listener("a process of user root")
    assert listeners.find(8081, "tcp", tmp_path) is None


def test_where_the_tables_can_not_be_read_nobody_is_named(tmp_path: Path):
    assert listeners.find(8080, "tcp", tmp_path) is None


def test_a_process_is_told_with_those_that_it_descends_from():
    assert listeners.lineage(os.getpid())[:2] == (os.getpid(), os.getppid())
    assert listeners.lineage(0) == ()


def test_the_name_of_a_process_may_hold_anything(tmp_path: Path):
    (tmp_path / "12").mkdir()
    (tmp_path / "12" / "stat").write_bytes(b"12 (a ) R 9 \xe9) S 7 12 12 0")
    assert listeners.lineage(12, tmp_path) == (12, 7)
    (tmp_path / "net").mkdir()
    row = "0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 4711 1"
    (tmp_path / "net" / "tcp").write_text(f"header\n{row}\n")
    (tmp_path / "12" / "fd").mkdir()
    (tmp_path / "12" / "fd" / "3").symlink_to("socket:[4711]")
    (tmp_path / "12" / "comm").write_bytes(b"web\xe9\n")
    found = listeners.find(8080, "tcp", tmp_path)
    assert found == listeners.Listener("process 12 (web\N{REPLACEMENT CHARACTER})", 12)
