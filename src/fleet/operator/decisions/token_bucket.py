"""Token buckets: so many at once, and so many per second after that. The caller tells the time."""


class TokenBucket:
    """At most *burst* tokens, of which *rate* per second come back."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = float(burst)
        self._at = float("-inf")

    def has(self, now: float) -> bool:
        """Tell whether there is a token."""
        self._refill(now)
        return self._tokens >= 1

    def take(self, now: float) -> bool:
        """Take a token, if there is one."""
        if not self.has(now):
            return False
        self._tokens -= 1
        return True

    def reserve(self, now: float) -> float:
        """Take a token, if need be one that is still to come; return the seconds until then."""
        self._refill(now)
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def _refill(self, now: float) -> None:
        # The first look is at a full bucket; a clock that went back gives nothing.
        passed = max(0.0, now - self._at)
        self._tokens = min(float(self._burst), self._tokens + passed * self._rate)
        self._at = max(self._at, now)
