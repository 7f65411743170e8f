"""A lab of the test's own: real bridge, real namespaces, and nothing left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.host import processes
from lab.host.lab_host import Addresses, LabHost
from lab.host.ledger import Kind
from tests.lab_host import whole_lab


@pytest.fixture
def lab_host(tmp_path: Path) -> Iterator[LabHost]:
    """A lab with addresses and a bridge, and no parts yet."""
    with whole_lab(tmp_path / "data") as host:
        yield host


@pytest.fixture
def tmp_host(tmp_path: Path) -> Iterator[LabHost]:
    """A host for processes alone: no bridge, no root."""
    host = LabHost("test", tmp_path, Addresses(255))
    yield host
    for entry in host.ledger.of(Kind.PROCESS):
        processes.stop(entry)
