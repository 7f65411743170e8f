"""How patient the bus is, and how it spreads what a whole fleet would do at one instant."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Pace:
    """
    How patient the bus is.

    *heartbeat* is how often an idle watch hears from the server; after two missed
    it starts over. *jitter* spreads the replays of a fleet that comes back at once.
    *patience* is how long a call may take from its beginning to its end, *backlog* how
    many messages a slow reader of a watch may leave lying before it has to start over.
    *connect* is how long one server may take to let us in, its handshake included.
    *ping* is how often the server is asked for a sign of life; a session in which nothing
    was heard for some of them is ended. One that lasted for less than *settled* counts as
    a failure: the next attempt waits longer.
    """

    heartbeat: timedelta = timedelta(seconds=30)
    jitter: timedelta = timedelta(seconds=60)
    first_retry: timedelta = timedelta(seconds=0.2)
    longest_retry: timedelta = timedelta(seconds=15)
    patience: timedelta = timedelta(seconds=5)
    connect: timedelta = timedelta(seconds=10)
    backlog: int = 512 * 1024
    ping: timedelta = timedelta(seconds=15)
    settled: timedelta = timedelta(seconds=10)

    @property
    def silence(self) -> timedelta:
        """After how long without a word of the server a session is ended."""
        return 2.5 * self.ping

    def retry(self, failures: int, chance: float) -> float:
        """Compute the seconds until the next attempt; *chance* is in [0, 1)."""
        longest = self.longest_retry.total_seconds()
        delay = min(longest, self.first_retry.total_seconds() * 2.0 ** min(failures, 16))
        return delay * (0.5 + chance / 2)

    def failures_after(self, failures: int, *, stood: float) -> int:
        """Count on: a session that stood for *stood* seconds makes good for all before it."""
        return 0 if stood >= self.settled.total_seconds() else failures + 1

    def spread(self, *, is_first: bool, chance: float) -> float:
        """
        Compute the seconds that a watch waits before it asks for its replay.

        A fleet that comes back does so at one instant, that of its server. One that starts
        (after a power cut, or an upgrade) does so over some seconds, so it is spread less.
        """
        jitter = self.jitter.total_seconds()
        return chance * (jitter / 4 if is_first else jitter)
