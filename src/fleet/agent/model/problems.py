"""What keeps this device from doing its work, as its `device-info` tells."""

from collections.abc import Callable

import structlog

from fleet.contracts import messages

log = structlog.get_logger(__name__)


class Problems:
    """The problems that stand now, by reason. *on_change* is called when they change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._messages: dict[str, str] = {}
        self._on_change = on_change

    def set(self, reason: str, message: str) -> None:
        """Note a problem."""
        if self._messages.get(reason) != message:
            log.error("problem", reason=reason, message=message)
            self._messages[reason] = message
            self._on_change()

    def clear(self, reason: str) -> None:
        """Note that it is over."""
        if self._messages.pop(reason, None) is not None:
            log.info("problem over", reason=reason)
            self._on_change()

    def list(self) -> tuple[messages.Problem, ...]:
        """List them, sorted by reason."""
        return tuple(
            messages.Problem(reason=reason, message=message)
            for reason, message in sorted(self._messages.items())
        )
