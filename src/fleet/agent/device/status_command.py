"""Ask how this device fares: the agent that runs, else the journal of the one that did."""

import socket
from pathlib import Path

import msgspec

from fleet import errors
from fleet.agent.device import status, status_socket
from fleet.agent.journal import entries, files
from fleet.agent.settings import Settings
from fleet.contracts import messages

_PATIENCE_SECONDS = 5.0


def ask(settings: Settings) -> status.Snapshot:
    """Return what is known, and change nothing."""
    try:
        return ask_agent(settings.state_dir)
    except errors.NotReady as exc:
        recalled = _recall(settings)
        if not isinstance(exc.__cause__, PermissionError):
            return recalled
        message = f"{exc}; ask as the agent's user, or as root"
        problem = messages.Problem(reason="NotPermitted", message=message)
        return msgspec.structs.replace(recalled, problems=(problem,))


def ask_agent(directory: Path) -> status.Snapshot:
    """
    Ask the agent that keeps its state in *directory*.

    :raises errors.NotReady: none answers.
    """
    try:
        with status_socket.place(directory) as path, socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_PATIENCE_SECONDS)
            link.connect(path)
            data = b"".join(iter(lambda: link.recv(65536), b""))
        return msgspec.json.decode(data, type=status.Snapshot)
    except (OSError, msgspec.MsgspecError) as exc:
        raise errors.NotReady(
            f"{directory / status_socket.NAME}: {exc}", element=str(directory)
        ) from exc


def _recall(settings: Settings) -> status.Snapshot:
    content, at = files.peek(settings.state_dir / "journal")
    found: list[entries.Entry] = []
    problems: list[messages.Problem] = []
    for deployment, data in content.items():
        try:
            found.append(entries.decode(deployment, data))
        except errors.DamagedJournal as exc:
            problems.append(messages.Problem(reason=exc.reason, message=f"{deployment}: {exc}"))
    return status.Snapshot(
        device_id=str(settings.device_id),
        hub=settings.nats.url,
        at=at,
        deployments=status.journalled(found),
        problems=tuple(problems),
    )
