"""Signatures of downloads, checked by gpgv: each way in which one isn't good is told apart."""

import hashlib
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.errors import PreflightFailed
from lab.images.cloud import download
from lab.images.cloud.catalogue import Download
from lab.images.cloud.signatures import KeyringInvalid, SignatureRefused
from tests.lab_host import needs

pytestmark = needs("gpg", "gpgconf", "gpgv")


@dataclass(frozen=True, slots=True)
class Publisher:
    """Somebody with a key, who publishes files in *directory*."""

    home: Path
    directory: Path

    def gpg(self, *argv: str) -> None:
        """Have GnuPG do something with this key."""
        options = ("--homedir", str(self.home), "--batch", "--quiet", "--yes", "--passphrase", "")
        subprocess.run(["gpg", *options, *argv], check=True, capture_output=True)

    def publish(self, content: bytes) -> Path:
        """Publish a file, and its signature beside it."""
        path = self.directory / "disk.qcow2"
        path.write_bytes(content)
        self.gpg("--detach-sign", "--output", f"{path}.sig", str(path))
        return path

    def keyring(self, *, armoured: bool = False) -> Path:
        """Export the key."""
        path = self.directory / f"{self.home.name}.gpg"
        self.gpg(*(["--armor"] if armoured else []), "--output", str(path), "--export")
        return path


@pytest.fixture
def publishers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Publisher]]:
    """Two of them."""
    directory = tmp_path_factory.mktemp("published")
    found = {}
    for name in ("ours", "other"):
        home = tmp_path_factory.mktemp(name)
        home.chmod(0o700)
        found[name] = Publisher(home, directory)
        found[name].gpg("--quick-generate-key", name, "ed25519", "sign")
    yield found
    for publisher in found.values():
        subprocess.run(["gpgconf", "--homedir", str(publisher.home), "--kill", "all"], check=True)


def signed(path: Path, keyring: Path) -> Download:
    """Return the file at *path* as the catalogue would name it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Download(
        url=path.as_uri(), sha256=digest, signature=f"{path.as_uri()}.sig", keyring=str(keyring)
    )


def fetch(source: Download, directory: Path) -> Path:
    """Fetch *source* as the cache does."""
    target = directory / "disk.qcow2"
    download.fetch(source, target, parts=directory, saw=lambda _: None)
    return target


def test_a_good_signature_lets_a_file_through_and_does_not_stay(
    publishers: Mapping[str, Publisher], tmp_path: Path
):
    ours = publishers["ours"]

    target = fetch(signed(ours.publish(b"an image"), ours.keyring()), tmp_path)

    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_was_altered_before_its_digest_was_taken_is_refused(
    publishers: Mapping[str, Publisher], tmp_path: Path
):
    ours = publishers["ours"]
    path = ours.publish(b"an image")
    path.write_bytes(b"another")

    with pytest.raises(SignatureRefused, match="the file or the signature was altered"):
        fetch(signed(path, ours.keyring()), tmp_path)
    assert not (tmp_path / "disk.qcow2").exists()


def test_a_signature_of_somebody_else_is_refused(
    publishers: Mapping[str, Publisher], tmp_path: Path
):
    path = publishers["other"].publish(b"an image")

    with pytest.raises(SignatureRefused, match="a key that isn't in the keyring"):
        fetch(signed(path, publishers["ours"].keyring()), tmp_path)


def test_what_is_no_signature_is_refused(publishers: Mapping[str, Publisher], tmp_path: Path):
    ours = publishers["ours"]
    path = ours.publish(b"an image")
    Path(f"{path}.sig").write_text("<html>not found</html>")

    with pytest.raises(SignatureRefused, match="it is no signature"):
        fetch(signed(path, ours.keyring()), tmp_path)


def test_a_keyring_that_is_missing_is_told_before_anything_is_fetched(
    publishers: Mapping[str, Publisher], tmp_path: Path
):
    path = publishers["ours"].publish(b"an image")

    with pytest.raises(KeyringInvalid, match=r"absent\.gpg can't be read: No such file"):
        fetch(signed(path, tmp_path / "absent.gpg"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_keyring_that_is_armoured_is_told_with_what_to_type(
    publishers: Mapping[str, Publisher], tmp_path: Path
):
    ours = publishers["ours"]

    with pytest.raises(KeyringInvalid, match="is armoured") as caught:
        fetch(signed(ours.publish(b"an image"), ours.keyring(armoured=True)), tmp_path)
    assert "gpg --dearmor" in caught.value.hint


def test_without_gpgv_the_package_is_named(
    publishers: Mapping[str, Publisher], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    ours = publishers["ours"]
    source = signed(ours.publish(b"an image"), ours.keyring())
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(PreflightFailed, match="takes gpgv") as caught:
        fetch(source, tmp_path)
    assert caught.value.hint == "apt-get install gpgv"
