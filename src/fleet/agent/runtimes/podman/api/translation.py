"""
From podman's JSON to the port's values. Pure.

A row that isn't understood is left out, and a field that isn't counts as unknown: neither raises,
since the rows beside it are other deployments' and other people's.
"""

import re
from collections.abc import Mapping
from typing import Any

from fleet import errors
from fleet.agent.runtimes.port import Container, Image, Status
from fleet.contracts import containers, scores
from fleet.contracts.names import DeploymentName

_STATUS = {
    "created": Status.CREATED,
    "configured": Status.CREATED,
    "initialized": Status.CREATED,
    "running": Status.RUNNING,
    "stopping": Status.STOPPING,
    "exited": Status.EXITED,
    "stopped": Status.EXITED,
    "paused": Status.PAUSED,
}


_TELLING = frozenset({"died", "remove", "pause", "unpause", "stop", "rename"})
_ID = re.compile(r"[0-9A-Za-z:]+")
# Whoever asks whether a service succeeded isn't told that it did.
_UNKNOWN_EXIT = -1


def tells(event: Any) -> bool:
    """Tell whether an event is one after which a container has to be looked at."""
    if not isinstance(event, dict):
        return False
    action = event.get("Action", event.get("status"))
    return isinstance(action, str) and action in _TELLING


def deployment_of_event(event: Mapping[str, Any]) -> DeploymentName | None:
    """Read whose container an event is about; None where it doesn't say."""
    labels = _object(_object(event.get("Actor")).get("Attributes"))
    try:
        return DeploymentName(_text(labels.get(containers.LABEL_DEPLOYMENT)))
    except errors.InvalidName:
        return None


def container(raw: Mapping[str, Any], image: str) -> Container | None:
    """Read one row of the listing; None for a container that only looks like one of ours."""
    labels = {key: _text(value) for key, value in _object(raw.get("Labels")).items()}
    names = raw.get("Names")
    try:
        found = Container(
            deployment=DeploymentName(labels[containers.LABEL_DEPLOYMENT]),
            service=labels[containers.LABEL_SERVICE],
            digest=labels[containers.LABEL_DIGEST],
            id=_text(raw.get("Id")),
            status=_STATUS.get(_text(raw.get("State")), Status.BROKEN),
            restart_policy=scores.RestartPolicy(
                labels.get(containers.LABEL_RESTART_POLICY, scores.RestartPolicy.ALWAYS)
            ),
            exit_code=_whole(raw.get("ExitCode"), unknown=_UNKNOWN_EXIT),
            image=image,
            started=max(0, _whole(raw.get("StartedAt"))),
            finished=max(0, _whole(raw.get("ExitedAt"))),
            health=_text(raw.get("Status")),
        )
    except (KeyError, ValueError):
        return None
    is_named = isinstance(names, list) and found.name in names
    return found if found.id and is_named else None


def image_id(raw: Mapping[str, Any]) -> str:
    """Read of which image a container is; "" where the row doesn't say it as an id."""
    found = _text(raw.get("ImageID"))
    return found if _ID.fullmatch(found) else ""


def image(raw: Mapping[str, Any]) -> Image | None:
    """Read one row of the listing of images; None for one without an id."""
    names = raw.get("Names")
    if not _text(raw.get("Id")):
        return None
    return Image(
        _text(raw["Id"]),
        frozenset(filter(None, map(_text, names if isinstance(names, list) else ()))),
        max(0, _whole(raw.get("Size"))),
        is_used=bool(raw.get("Containers")),
        is_shared=bool(raw.get("ReadOnly")),
    )


def digest(raw: Any) -> str:
    """Read the digest of an image; "" where that isn't said."""
    return _text(_object(raw).get("Digest"))


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    """Read a text; what could not be sent on, such as half a surrogate, is none."""
    return value if isinstance(value, str) and value.isascii() else ""


def _whole(value: Any, *, unknown: int = 0) -> int:
    """Read a whole number; nothing at all is 0."""
    if value is None:
        return 0
    return value if isinstance(value, int) else unknown
