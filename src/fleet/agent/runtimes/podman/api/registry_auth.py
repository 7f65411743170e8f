"""
How podman is told who we are at a registry, pull by pull.

The entry whose name is the longest beginning of the image's reference applies:
``registry.local/team`` before ``registry.local``. A registry at another port is
another one. Without an entry podman does what its own configuration says.
"""

import base64
import json
from collections.abc import Mapping

from fleet import errors
from fleet.agent.settings import Registry
from fleet.agent.system import password_files

_AUTH_HEADER = "X-Registry-Auth"
_NONE = Registry()


def of_image(image: str, registries: Mapping[str, Registry]) -> Registry:
    """Find the entry for *image*; one that says nothing where there is none."""
    names = (name for name in registries if _covers(name, image))
    return registries.get(max(names, key=len, default=""), _NONE)


def parameters(registry: Registry) -> dict[str, str]:
    """Spell what podman is told in the query."""
    return {"tlsVerify": "false"} if registry.insecure else {}


def headers(image: str, registry: Registry) -> dict[str, str]:
    """
    Spell what podman is told in headers. Reads the password anew.

    :raises errors.RegistryUnauthorized: the password can't be read.
    """
    if registry.password_file is None:
        return {}
    try:
        password = password_files.read(registry.password_file)
    except errors.InvalidConfig as exc:
        raise errors.RegistryUnauthorized(f"no password for {image}: {exc}", element=image) from exc
    return {_AUTH_HEADER: _encoded(registry.username, password)}


def _covers(name: str, image: str) -> bool:
    if not image.startswith(name):
        return False
    rest = image[len(name) :]
    # What begins with a colon is a tag, unless a slash follows: then it is a port.
    return rest[:1] in ("/", "@", "") or (rest[0] == ":" and "/" not in rest)


def _encoded(username: str, password: str) -> str:
    said = json.dumps({"username": username, "password": password})
    return base64.urlsafe_b64encode(said.encode()).decode()
