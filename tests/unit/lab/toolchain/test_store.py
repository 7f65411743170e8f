"""What was built is there complete, or not at all."""

from pathlib import Path

import pytest

from lab.toolchain.store import Store


def write(content: bytes):
    return lambda directory: (directory / "program").write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_kept_is_held(store: Store):
    store.keep("key", write(b"1"))
    assert store.holds("key")
    assert not store.verify("key")
    assert (store.bin("key") / "program").read_bytes() == b"1"


def test_nothing_is_held_before(store: Store):
    assert not store.holds("key")


def test_a_failed_build_leaves_nothing(store: Store):
    def fail(directory: Path):
        (directory / "program").write_bytes(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        store.keep("key", fail)
    assert not list(store.directory.iterdir())


def test_what_a_killed_build_left_is_built_anew(store: Store):
    left = store.directory / "key.partial" / "bin"
    left.mkdir(parents=True)
    (left / "other").write_bytes(b"half")
    store.keep("key", write(b"1"))
    assert [path.name for path in store.bin("key").iterdir()] == ["program"]


@pytest.mark.parametrize("broken", [b"", b"12"], ids=["truncated", "grown"])
def test_a_file_of_another_size_is_not_held_and_built_anew(store: Store, broken: bytes):
    store.keep("key", write(b"1"))
    (store.bin("key") / "program").write_bytes(broken)
    assert not store.holds("key")
    store.keep("key", write(b"1"))
    assert store.holds("key")


def test_a_missing_file_is_not_held(store: Store):
    store.keep("key", write(b"1"))
    (store.bin("key") / "program").unlink()
    assert not store.holds("key")
    assert store.verify("key") == ("program",)


def test_a_changed_file_of_the_same_size_is_found_by_its_digest(store: Store):
    store.keep("key", write(b"1"))
    (store.bin("key") / "program").write_bytes(b"2")
    assert store.verify("key") == ("program",)


def test_a_manifest_that_does_not_parse_holds_nothing(store: Store):
    store.keep("key", write(b"1"))
    (store.directory / "key" / "manifest.json").write_text("{")
    assert not store.holds("key")
