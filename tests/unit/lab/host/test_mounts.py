"""`mounts`: directories of the host go with the last lab that needs them, and no earlier."""

from pathlib import Path

import pytest

from lab.errors import LabError
from lab.host import ledger, mounts
from lab.host.ledger import Kind, Ledger


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "var" / "containers"


@pytest.fixture
def books(tmp_path: Path) -> tuple[Ledger, Ledger]:
    return Ledger(tmp_path / "labs/a/ledger.jsonl"), Ledger(tmp_path / "labs/b/ledger.jsonl")


def undo(book: Ledger) -> None:
    assert ledger.undo(book, {Kind.DIRECTORY: mounts.undo_directory}) == ()


def test_a_directory_that_was_made_is_removed(place: Path, books: tuple[Ledger, Ledger]):
    mounts.claim_directory(books[0], place)
    assert place.is_dir()

    undo(books[0])

    assert not place.exists()


def test_a_directory_that_was_there_stays(place: Path, books: tuple[Ledger, Ledger]):
    place.mkdir(parents=True)
    mounts.claim_directory(books[0], place)

    undo(books[0])

    assert place.is_dir()


@pytest.mark.parametrize("first", [0, 1], ids=["its maker goes first", "its maker goes last"])
def test_the_last_lab_removes_what_two_share(first: int, place: Path, books: tuple[Ledger, Ledger]):
    for book in books:
        mounts.claim_directory(book, place)

    undo(books[first])
    assert place.is_dir()

    undo(books[1 - first])
    assert not place.exists()


def test_what_others_put_into_it_is_never_removed(place: Path, books: tuple[Ledger, Ledger]):
    mounts.claim_directory(books[0], place)
    (place / "storage").mkdir()

    undo(books[0])

    assert (place / "storage").is_dir()


def test_a_closed_directory_is_removed_with_all_in_it(place: Path, books: tuple[Ledger, Ledger]):
    place.parent.mkdir(parents=True)
    mounts.make_closed(books[0], place)
    (place / "podman.sock").touch()
    assert place.stat().st_mode & 0o777 == 0o711

    undo(books[0])

    assert not place.exists()


def test_a_closed_directory_must_be_new(place: Path, books: tuple[Ledger, Ledger]):
    place.mkdir(parents=True)

    with pytest.raises(LabError, match="somebody else's"):
        mounts.make_closed(books[0], place)

    undo(books[0])
    assert place.is_dir()
