"""`registry_auth`: which registry an image is of, and what podman is told."""

import base64
import json
from pathlib import Path

import pytest

from fleet import errors
from fleet.agent.runtimes.podman.api import registry_auth
from fleet.agent.settings import Registry

NAMES = ("r.io", "r.io/team", "r.io:5000", "r.io/team/web", "h", "10.0.0.1")
KNOWN = {name: Registry(username=name) for name in NAMES}


@pytest.mark.parametrize(
    ("image", "entry"),
    [
        ("r.io/web:1", "r.io"),
        ("r.io/team/api:1", "r.io/team"),
        ("r.io/teamwork/api:1", "r.io"),
        ("r.io/team/web:1", "r.io/team/web"),
        ("r.io/team/web@sha256:0", "r.io/team/web"),
        ("r.io:5000/web", "r.io:5000"),
        ("r.io:5001/web", ""),
        ("r.io:5001/web:1@sha256:0", ""),
        ("r.io:50001/web", ""),
        ("h:5000/web", ""),
        ("h/web", "h"),
        ("10.0.0.1:5000/team/web:1", ""),
        ("10.0.0.1/web:1", "10.0.0.1"),
        ("r.io.example.org/web", ""),
        ("other.io/r.io/web", ""),
    ],
)
def test_the_longest_prefix_of_an_image_applies(image: str, entry: str):
    assert registry_auth.of_image(image, KNOWN).username == entry


def test_a_password_is_read_anew_and_told_without_the_end_of_its_line(tmp_path: Path):
    password = tmp_path / "password"
    registry = Registry(username="fleet", password_file=password)
    for secret in ("first", "rotated"):
        password.write_text(f"{secret}\n")
        password.chmod(0o600)
        said = registry_auth.headers("r.io/web", registry)["X-Registry-Auth"]
        told = json.loads(base64.urlsafe_b64decode(said))
        assert told == {"username": "fleet", "password": secret}


def test_a_password_that_is_gone_is_a_refusal_that_names_the_file(tmp_path: Path):
    registry = Registry(username="fleet", password_file=tmp_path / "gone")
    with pytest.raises(errors.RegistryUnauthorized, match=r"no password for r\.io/web: .*/gone"):
        registry_auth.headers("r.io/web", registry)


def test_nothing_is_said_of_a_registry_that_nobody_configured():
    nobody = registry_auth.of_image("r.io/web", {})
    assert registry_auth.headers("r.io/web", nobody) == {}
    assert registry_auth.parameters(nobody) == {}
