"""Key pairs: made once, kept closed, and never somebody else's."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from fleet import directories, errors
from fleet.scores.device import keys
from fleet.scores.device.keys import ensure_fleet_ssh_keypair

MAKE = "from fleet.scores.device.keys import *; print(ensure_fleet_ssh_keypair('fleet').public)"


@pytest.fixture
def environ(tmp_path):
    return {"HARMONY_DATA_DIR": str(tmp_path)}


def test_a_pair_is_made_once_and_then_used_again(environ):
    first = ensure_fleet_ssh_keypair("fleet", environ)
    assert ensure_fleet_ssh_keypair("fleet", environ) == first
    assert first.public.startswith("ssh-ed25519 AAAA")
    assert first.private.parent == directories.keys_dir("fleet", environ)


def test_nobody_else_can_read_the_private_half(environ):
    pair = ensure_fleet_ssh_keypair("fleet", environ)
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert [path.name for path in pair.private.parent.iterdir()] == [pair.private.name]


def test_a_private_key_that_was_opened_is_closed_again(environ):
    pair = ensure_fleet_ssh_keypair("fleet", environ)
    pair.private.chmod(0o644)
    assert ensure_fleet_ssh_keypair("fleet", environ) == pair
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600


def test_each_purpose_has_a_pair_of_its_own(environ):
    assert ensure_fleet_ssh_keypair("one", environ) != ensure_fleet_ssh_keypair("two", environ)


def test_processes_that_are_first_at_once_have_one_pair(environ):
    def make(_):
        command = (sys.executable, "-c", MAKE)
        done = subprocess.run(
            command, env={**os.environ, **environ}, capture_output=True, check=True
        )
        return done.stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(make, range(4)))) == 1


@pytest.mark.parametrize("content", ["", "nonsense", "-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_and_kept(environ, content):
    path = directories.keys_dir("fleet", environ) / "id_ed25519"
    path.write_text(content)
    with pytest.raises(errors.InvalidConfig, match="move it away"):
        ensure_fleet_ssh_keypair("fleet", environ)
    assert path.read_text() == content


def test_a_key_of_another_kind_is_refused(environ):
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    (directories.keys_dir("fleet", environ) / "id_ed25519").write_bytes(text)
    with pytest.raises(errors.InvalidConfig, match="not an ed25519 key"):
        ensure_fleet_ssh_keypair("fleet", environ)


def test_a_host_key_is_pinned_by_its_address_and_shows_no_secret():
    key = keys.new_host_key()
    assert key.pin("10.0.0.1") == f"10.0.0.1 {key.public}\n"
    assert key.pin("127.0.0.1", port=2222) == f"[127.0.0.1]:2222 {key.public}\n"
    assert "PRIVATE" not in repr(key)
    assert keys.host_key(key.private) == key
