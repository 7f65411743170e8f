"""A lab of the test's own: real bridge, real namespaces, and nothing left behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import labs, processes, undoing
from lab.host import Addresses, LabHost
from lab.ledger import Kind


@pytest.fixture
def lab_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LabHost]:
    """A lab with addresses and a bridge, and no parts yet."""
    if os.geteuid() != 0:
        pytest.skip("the lab needs root")
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path / "data"))
    host = labs.ensure("test", "smoke").host
    try:
        yield host
    finally:
        left = undoing.take_down(labs.trace("test"), lambda _: None)
    assert left == ()


@pytest.fixture
def tmp_host(tmp_path: Path) -> Iterator[LabHost]:
    """A host for processes alone: no bridge, no root."""
    host = LabHost("test", tmp_path, Addresses(255))
    yield host
    for entry in host.ledger.of(Kind.PROCESS):
        processes.stop(entry)
