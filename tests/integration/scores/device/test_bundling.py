"""Bundles, as uv really gathers them: for each platform, the same each time, and whole."""

import tarfile

import pytest

from fleet.scores.linux.architecture import Arch
from lab.devices import agent_bundle
from lab.devices.agent_bundle import BundleInvalid, Recipe, bundle


def read(archive: tarfile.TarFile, name: str) -> bytes:
    """Return the content of the file *name*."""
    file = archive.extractfile(name)
    assert file is not None
    return file.read()


EVERY = [(arch, python) for arch in Arch for python in agent_bundle.PYTHONS]
ELF_MACHINE = {Arch.X86_64: 62, Arch.AARCH64: 183}


@pytest.mark.parametrize(("arch", "python"), EVERY)
def test_a_bundle_holds_what_its_platform_runs(arch, python):
    made = bundle(arch, python)
    with tarfile.open(made.path) as archive:
        names = archive.getnames()
        modules = [name for name in names if name.endswith(".so")]
        for name in modules:
            content = read(archive, name)
            assert int.from_bytes(content[18:20], "little") == ELF_MACHINE[arch]
    minor = python.replace(".", "")
    assert any(f"cpython-{minor}-{arch}-linux-gnu.so" in name for name in modules)
    assert {"fleet/agent/main.py", "fleet/scores/device/local.py"} <= set(names)
    assert f"fleet-{made.version}.dist-info/METADATA" in names
    assert not [name for name in names if name.startswith(("bin/", "fleet/operator/"))]


def test_a_bundle_is_the_same_when_it_is_made_anew(tmp_path):
    made = bundle(Arch.AARCH64)
    again = agent_bundle._make(tmp_path, Recipe(Arch.AARCH64))
    assert again.digest == made.digest
    assert [path.name for path in tmp_path.glob("*.partial")] == []


def test_a_bundle_is_made_once():
    made = bundle(Arch.AARCH64)
    before = made.path.stat()
    assert bundle(Arch.AARCH64) == made
    assert made.path.stat() == before


def test_what_is_laid_over_makes_another_version():
    one, other = (
        bundle(Arch.X86_64, laid_over=over) for over in ({}, {"fleet/agent/EDITION": b"2"})
    )
    assert one.version != other.version
    assert one.folder != other.folder
    with tarfile.open(other.path) as archive:
        assert read(archive, "fleet/agent/EDITION") == b"2"


def test_every_member_belongs_to_root_and_to_no_time():
    with tarfile.open(bundle(Arch.X86_64).path) as archive:
        members = archive.getmembers()
    assert {(each.uid, each.gid, each.mtime) for each in members} == {(0, 0, 0)}
    assert {each.mode for each in members} == {0o644, 0o755}
    assert [each.name for each in members] == sorted(each.name for each in members)


def test_a_python_that_devices_do_not_have_is_refused():
    with pytest.raises(BundleInvalid, match=r"3\.11 and 3\.13, not 3\.9"):
        bundle(Arch.X86_64, "3.9")


def test_a_module_for_another_processor_is_refused(tmp_path):
    (tmp_path / "_core.so").write_bytes(b"\x7fELF" + bytes(14) + (62).to_bytes(2, "little"))
    with pytest.raises(BundleInvalid, match=r"_core.so is not compiled for aarch64"):
        agent_bundle._refuse_foreign(Arch.AARCH64, tmp_path)
