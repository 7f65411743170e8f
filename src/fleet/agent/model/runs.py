"""What is remembered of runs: of services that don't run again, and of those that we stop."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fleet.contracts import messages


class Run(messages.Message, frozen=True):
    """
    The run of *service* after which it doesn't run again, as *digest* describes it.

    *exit_code* is None as long as nobody saw it end.
    """

    service: str
    digest: str
    exit_code: int | None = None


class Stop(messages.Message, frozen=True):
    """The run of a container, by its id and the time of its *started*, that we were to end."""

    container: str
    started: int


@dataclass(frozen=True, slots=True)
class Memory:
    """
    The journal, as the loop of one deployment uses it.

    *runs* were known when the loop was made, by service, and so were *stops*: by container, when
    it had been started. *note_heard* is called when the hub has
    heard of the deployment, and when containers show that it had before.
    """

    runs: Mapping[str, Run] = field(default_factory=dict)
    save_runs: Callable[[Mapping[str, Run]], None] = lambda _: None
    stops: Mapping[str, int] = field(default_factory=dict)
    save_stops: Callable[[Mapping[str, int]], None] = lambda _: None
    note_heard: Callable[[], None] = lambda: None
