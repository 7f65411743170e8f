"""What is said of one deployment to the hub."""

from dataclasses import dataclass

from fleet.contracts.messages import Phase, ServiceState, StateError


@dataclass(frozen=True, slots=True)
class Report:
    """What to say."""

    revision: str
    phase: Phase
    services: tuple[ServiceState, ...] = ()
    error: StateError | None = None
