"""`lab.images.cloud.build`: what an image is found by, and what never gets into one."""

from pathlib import Path

import pytest

from fleet.scores.linux.architecture import Arch
from lab.images.cloud import build, catalogue, recipe


@pytest.mark.parametrize("what", ["EXCLUDED", "REMOVED", "FILES", "LINKS", "MODULES"])
def test_another_recipe_is_another_image(what: str, monkeypatch: pytest.MonkeyPatch):
    image = catalogue.default(Arch.X86_64)
    before = build.described(image)

    monkeypatch.setattr(recipe, what, {"a": "b"} if what in {"FILES", "LINKS"} else ("a",))

    assert build.described(image) != before


def test_nothing_of_the_hosts_sources_and_keys_gets_into_an_image(tmp_path: Path):
    secrets = (
        "etc/apt/sources.list", "etc/apt/sources.list.d/host.sources",
        "var/lib/apt/lists/mirror_dists_bookworm_InRelease", "etc/ssh/ssh_host_ed25519_key",
    )  # fmt: skip
    for name in secrets:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("a secret")

    build._furnish(tmp_path)

    assert [name for name in secrets if (tmp_path / name).exists()] == []


def test_a_unit_that_is_masked_stays_so_whatever_a_package_brought(tmp_path: Path):
    unit = tmp_path / "etc/systemd/system/fstrim.timer"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Timer]")

    build._furnish(tmp_path)

    assert str(unit.readlink()) == "/dev/null"
    assert (tmp_path / "etc/machine-id").read_text() == ""
