"""Downloads of images from a server that breaks off, lies and changes its mind."""

import hashlib
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lab.images.cloud import download
from lab.images.cloud.catalogue import Download
from lab.images.cloud.download import DownloadBroken, ImageRefused

CONTENT = os.urandom(3 << 20)
HALF = len(CONTENT) // 2
ALTERED = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])


@dataclass
class Behaviour:
    """What the server has, and how many bytes of an answer it sends before it breaks off."""

    content: bytes = CONTENT
    sends: int | None = None
    knows_ranges: bool = True
    says_length: bool = True
    ranges: list[str] = field(default_factory=list)


class Server(ThreadingHTTPServer):
    """A server of one file."""

    behaviour: Behaviour
    daemon_threads = True


class Handler(BaseHTTPRequestHandler):
    """Answers as its server behaves now."""

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        behaviour = server.behaviour
        wanted = self.headers.get("Range", "")
        begin = 0
        if wanted and behaviour.knows_ranges:
            behaviour.ranges.append(wanted)
            found = re.fullmatch(r"bytes=(\d+)-", wanted)
            assert found
            begin = int(found[1])
            if begin >= len(behaviour.content):
                self.send_error(416)
                return
        body = behaviour.content[begin:]
        self.send_response(206 if begin else 200)
        if behaviour.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: behaviour.sends])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server on loopback."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.behaviour = Behaviour()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def source(server: Server) -> Download:
    """The file that the catalogue names."""
    where = f"http://127.0.0.1:{server.server_address[1]}/disk.qcow2"
    return Download(url=where, sha256=hashlib.sha256(CONTENT).hexdigest())


def fetch(source: Download, directory: Path) -> bytes:
    """Fetch *source* as the cache does, and return what came."""
    target = directory / "disk.qcow2"
    download.fetch(source, target, parts=directory, saw=lambda _: None)
    return target.read_bytes()


def part_of(source: Download, directory: Path) -> Path:
    """Where what came so far is kept."""
    return directory / f"{source.sha256}.part"


def test_a_file_is_fetched_whole_and_no_part_is_left(source: Download, tmp_path: Path):
    assert fetch(source, tmp_path) == CONTENT
    assert not part_of(source, tmp_path).exists()


def test_a_download_that_broke_off_goes_on_where_it_was(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour.sends = HALF
    with pytest.raises(DownloadBroken, match=f"broke off after {HALF} of .*{HALF} bytes are kept"):
        fetch(source, tmp_path)

    server.behaviour.sends = None
    assert fetch(source, tmp_path) == CONTENT
    assert server.behaviour.ranges == [f"bytes={HALF}-"]


def test_a_server_without_ranges_gives_the_whole_file_again(
    server: Server, source: Download, tmp_path: Path
):
    part_of(source, tmp_path).write_bytes(CONTENT[:HALF])
    server.behaviour.knows_ranges = False

    assert fetch(source, tmp_path) == CONTENT


def test_a_part_that_is_whole_already_is_enough(source: Download, tmp_path: Path):
    part_of(source, tmp_path).write_bytes(CONTENT)

    assert fetch(source, tmp_path) == CONTENT


def test_parts_that_do_not_fit_together_are_fetched_anew(source: Download, tmp_path: Path):
    part_of(source, tmp_path).write_bytes(b"of another file" * 1000)

    assert fetch(source, tmp_path) == CONTENT


def test_a_file_with_another_digest_is_refused_and_not_kept(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour.content = ALTERED

    with pytest.raises(ImageRefused, match=f"and not {source.sha256}") as caught:
        fetch(source, tmp_path)

    assert "replaced upstream" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_was_replaced_upstream_in_between_is_refused(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour.sends = HALF
    with pytest.raises(DownloadBroken):
        fetch(source, tmp_path)
    server.behaviour = Behaviour(content=os.urandom(len(CONTENT)))

    with pytest.raises(ImageRefused):
        fetch(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_file_is_refused(server: Server, source: Download, tmp_path: Path):
    server.behaviour.content = CONTENT[:HALF]

    with pytest.raises(ImageRefused):
        fetch(source, tmp_path)


def test_one_that_breaks_off_and_never_said_how_much_it_sends_is_asked_for_the_rest(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour.says_length = False
    server.behaviour.sends = HALF

    assert fetch(source, tmp_path) == CONTENT
    assert server.behaviour.ranges == [f"bytes={HALF}-"]


def test_without_length_and_ranges_it_broke_off_and_what_came_is_kept(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour = Behaviour(says_length=False, knows_ranges=False, sends=HALF)

    with pytest.raises(DownloadBroken, match=f"ended after {HALF} bytes, and doesn't say"):
        fetch(source, tmp_path)
    assert part_of(source, tmp_path).read_bytes() == CONTENT[:HALF]

    server.behaviour.sends = None
    assert fetch(source, tmp_path) == CONTENT


def test_one_that_sends_nothing_more_is_not_asked_for_ever(
    server: Server, source: Download, tmp_path: Path
):
    server.behaviour = Behaviour(says_length=False, sends=0)
    part_of(source, tmp_path).write_bytes(CONTENT[:HALF])

    with pytest.raises(DownloadBroken, match=f"ended after {HALF} bytes"):
        fetch(source, tmp_path)


def test_another_file_without_a_length_is_refused(server: Server, source: Download, tmp_path: Path):
    server.behaviour = Behaviour(content=ALTERED, says_length=False)

    with pytest.raises(ImageRefused):
        fetch(source, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_away_is_named(server: Server, source: Download, tmp_path: Path):
    server.shutdown()
    server.server_close()

    with pytest.raises(DownloadBroken, match=re.escape(source.url)) as caught:
        fetch(source, tmp_path)
    assert "goes on from there" in caught.value.hint


def test_a_full_disk_is_said_and_what_came_is_kept(source: Download, tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], check=True)
    try:
        with pytest.raises(DownloadBroken, match=r"is full .* while fetching") as caught:
            fetch(source, small)
        kept = part_of(source, small).stat().st_size
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert "HARMONY_DATA_DIR" in caught.value.hint
    assert 0 < kept < len(CONTENT)
