"""`lab.images.sharing`: a lab keeps the store of base images that its containers stand on."""

from pathlib import Path

import pytest

from lab.host.lab_host import Addresses, LabHost, write_json
from lab.images import shared_store


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabHost:
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path / "data"))
    return LabHost("x", tmp_path / "lab", Addresses(1))


def test_a_new_lab_uses_the_newest_store(host: LabHost):
    assert shared_store.store_of(host) == shared_store.store()


@pytest.mark.parametrize("there", [True, False], ids=["still there", "cleared from the cache"])
def test_a_lab_keeps_its_store_while_it_is_there(there: bool, host: LabHost, tmp_path: Path):
    old = tmp_path / "base-old" / "store"
    write_json(host.state / "images.json", {"base": str(old)})
    if there:
        old.mkdir(parents=True)
        (old.parent / "complete").touch()

    assert shared_store.store_of(host) == (old if there else shared_store.store())
