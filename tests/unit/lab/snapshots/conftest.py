"""A pretended lab, and a place for its snapshots."""

from pathlib import Path

import pytest

from lab.snapshots.archive import Archive
from tests.unit.lab.snapshots.pretend_site import PretendSite


@pytest.fixture
def site() -> PretendSite:
    return PretendSite()


@pytest.fixture
def shelf(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "snapshots")
