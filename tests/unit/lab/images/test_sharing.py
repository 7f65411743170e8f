"""`lab.images.sharing`: a lab keeps the store of base images that its containers stand on."""

from pathlib import Path

import pytest

from lab.host import Addresses, LabHost, write_json
from lab.images import sharing


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LabHost:
    monkeypatch.setenv("HARMONY_DATA_DIR", str(tmp_path / "data"))
    return LabHost("x", tmp_path / "lab", Addresses(1))


def test_a_new_lab_uses_the_newest_store(host: LabHost):
    assert sharing.store_of(host) == sharing.store()


@pytest.mark.parametrize("there", [True, False], ids=["still there", "cleared from the cache"])
def test_a_lab_keeps_its_store_while_it_is_there(there: bool, host: LabHost, tmp_path: Path):
    old = tmp_path / "base-old" / "store"
    write_json(host.state / "images.json", {"base": str(old)})
    if there:
        old.mkdir(parents=True)
        (old.parent / "complete").touch()

    assert sharing.store_of(host) == (old if there else sharing.store())
