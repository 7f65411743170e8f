"""Ask how this device fares: the agent that runs, else the journal of the one that did."""

import msgspec

from fleet import errors
from fleet.agent.device import status, status_socket
from fleet.agent.journal import entries, files
from fleet.agent.settings import Settings
from fleet.contracts import messages


def ask(settings: Settings) -> status.Snapshot:
    """Return what is known, and change nothing."""
    try:
        return status_socket.ask(settings.state_dir)
    except errors.NotReady as exc:
        recalled = _recall(settings)
        if not isinstance(exc.__cause__, PermissionError):
            return recalled
        message = f"{exc}; ask as the agent's user, or as root"
        problem = messages.Problem(reason="NotPermitted", message=message)
        return msgspec.structs.replace(recalled, problems=(problem,))


def _recall(settings: Settings) -> status.Snapshot:
    content, at = files.peek(settings.state_dir / "journal")
    found: list[entries.Entry] = []
    problems: list[messages.Problem] = []
    for deployment, data in content.items():
        try:
            found.append(entries.decode(settings.device_id, deployment, data))
        except errors.DamagedJournal as exc:
            problems.append(messages.Problem(reason=exc.reason, message=f"{deployment}: {exc}"))
    return status.Snapshot(
        device_id=str(settings.device_id),
        hub=settings.nats.url,
        at=at,
        deployments=status.journalled(found),
        problems=tuple(problems),
    )
