"""`lab.host.mounts`: directories of the host that labs share, also those of other data."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.host import mounts
from lab.host.ledger import Kind, Ledger

HOLDS = 'mount --bind "$1" "$2" && echo held && read -r _'


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """The ledger of a lab that made the directory `place`."""
    if os.geteuid() != 0:
        pytest.skip("mounts need root")
    book = tmp_path / "labs" / "one" / "ledger.json"
    book.parent.mkdir(parents=True)
    ledger = Ledger(book)
    mounts.claim_directory(ledger, tmp_path / "place")
    return ledger


@pytest.fixture
def stranger(tmp_path: Path, ledger: Ledger) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of a lab of another data directory, to which `place` is a directory of its own."""
    (tmp_path / "own").mkdir()
    paths = (str(tmp_path / "own"), str(tmp_path / "place"))
    argv = ("unshare", "--mount", "--propagation", "private", "sh", "-c", HOLDS, "sh", *paths)
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_directory_that_another_labs_process_has_mounted_stays_until_that_has_gone(
    tmp_path: Path, ledger: Ledger, stranger: "subprocess.Popen[bytes]"
):
    entry = ledger.find(Kind.DIRECTORY, str(tmp_path / "place"))
    assert entry

    mounts.undo_directory(entry)

    seen = Path(f"/proc/{stranger.pid}/mountinfo").read_text()
    assert str(tmp_path / "place") in seen, "the kernel takes a mount away with its directory"
    stranger.communicate()
    mounts.undo_directory(entry)
    assert not (tmp_path / "place").exists()
