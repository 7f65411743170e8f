"""
Which deployment of this device may publish which host port.

A port belongs to the deployment that claimed it first, from the moment that it is wanted until
nothing of that deployment wants it, or has it, any more. So whoever falls over, is replaced or is
started again finds its port free, however soon another one asks for it.

How old a deployment is isn't known here, and a replay tells them in no order of age. So claims
that come within `ONE_MOMENT_SECONDS` share a *turn*: of these, who has a container on the port
goes first, then the name that sorts first. The journal keeps the turns.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from fleet.contracts.names import DeploymentName
from fleet.contracts.scores import Port

# What is read in one replay, or put for a device that comes back, is no further apart.
ONE_MOMENT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class _Claim:
    """One deployment's claim to one port; *is_held* if a container of it has the port."""

    port: Port
    turn: int
    is_held: bool = False


def spell(port: Port) -> str:
    """Write a port as people do: ``8080/tcp``, with its address where it has one."""
    number = f"{port.host}/{port.protocol}"
    return f"{number} at {port.host_ip}" if port.host_ip else number


class Ports:
    """
    The claims of all deployments of a device.

    *wake* is called with who may have a port that another one gave up; *moved* with whose turns
    changed by themselves, so that they are journalled.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        wake: Callable[[DeploymentName], None] = lambda _: None,
        moved: Callable[[DeploymentName], None] = lambda _: None,
    ) -> None:
        self._now = now
        self._wake = wake
        self._moved = moved
        self._claims: dict[DeploymentName, dict[str, _Claim]] = {}
        self._owners: dict[DeploymentName, str] = {}
        self._recalled: dict[DeploymentName, dict[str, int]] = {}
        self._last_turn = 0
        self._turn_began: float | None = None

    def recall(self, turns: Mapping[DeploymentName, Mapping[str, int]]) -> None:
        """Take the turns up again that an earlier process gave."""
        self._recalled = {deployment: dict(each) for deployment, each in turns.items()}
        self._last_turn = max((t for each in turns.values() for t in each.values()), default=0)

    def claim(self, deployment: DeploymentName, owner: str, wanted: Iterable[Port]) -> None:
        """Claim *wanted* besides what *deployment* has; *owner* is how people call it."""
        self._owners[deployment] = owner
        claims = self._claims.setdefault(deployment, {})
        for port in wanted:
            if spell(port) not in claims:
                claims[spell(port)] = _Claim(port, self._turn_of(deployment, port))

    def settle(
        self, deployment: DeploymentName, wanted: Iterable[Port], held: Iterable[Port]
    ) -> None:
        """Claim exactly what *deployment* wants or has; *held* are the ports of what runs."""
        having = {spell(port): port for port in held}
        claimed = {**{spell(port): port for port in wanted}, **having}
        before = self._claims.get(deployment, {})
        self.claim(deployment, self._owners.get(deployment, str(deployment)), claimed.values())
        self._claims[deployment] = {
            key: replace(claim, is_held=key in having)
            for key, claim in self._claims[deployment].items()
            if key in claimed
        }
        self._go_first(deployment)
        self._give_up([claim.port for key, claim in before.items() if key not in claimed])

    def has_claims(self, deployment: DeploymentName) -> bool:
        """Tell whether *deployment* has claimed any."""
        return bool(self._claims.get(deployment))

    def release(self, deployment: DeploymentName) -> None:
        """Forget *deployment*: it is withdrawn, and nothing of it is left."""
        claims = self._claims.pop(deployment, {})
        self._owners.pop(deployment, None)
        self._recalled.pop(deployment, None)
        self._give_up([claim.port for claim in claims.values()])

    def turns(self, deployment: DeploymentName) -> dict[str, int]:
        """Map the ports that *deployment* claims to their turns, for the journal."""
        claims = self._claims.get(deployment, {})
        return {key: claim.turn for key, claim in sorted(claims.items())}

    def first(self, deployment: DeploymentName, port: Port) -> str | None:
        """Name whoever has *port*, or may have it before *deployment*; None where nobody does."""
        own = self._claims.get(deployment, {}).get(spell(port))
        rank = _rank(deployment, own) if own else None
        before = [
            (_rank(other, claim), other)
            for other, claim in self._rivals(deployment, port)
            if rank is None or _rank(other, claim) < rank
        ]
        return self._owners[min(before)[1]] if before else None

    def _turn_of(self, deployment: DeploymentName, port: Port) -> int:
        recalled = self._recalled.get(deployment, {}).pop(spell(port), None)
        if recalled is not None:
            return recalled
        now = self._now()
        is_over = self._turn_began is None or now - self._turn_began > ONE_MOMENT_SECONDS
        if is_over or any(claim.is_held for _, claim in self._rivals(deployment, port)):
            self._last_turn += 1
            self._turn_began = now
        return self._last_turn

    def _go_first(self, deployment: DeploymentName) -> None:
        """Let who has a port have it also when its container isn't there for a while."""
        for key, claim in self._claims[deployment].items():
            rivals = self._rivals(deployment, claim.port) if claim.is_held else ()
            turns = [(c.turn, other) for other, c in rivals if not c.is_held]
            if turns and min(turns) < (claim.turn, deployment):
                self._claims[deployment][key] = replace(claim, turn=min(turns)[0] - 1)
                self._moved(deployment)

    def _give_up(self, ports: Iterable[Port]) -> None:
        waiting = {other for port in ports for other, _ in self._rivals(None, port)}
        for other in sorted(waiting):
            self._wake(other)

    def _rivals(
        self, deployment: DeploymentName | None, port: Port
    ) -> Iterator[tuple[DeploymentName, _Claim]]:
        for other, claims in self._claims.items():
            if other != deployment:
                yield from ((other, c) for c in claims.values() if c.port.collides(port))


def _rank(deployment: DeploymentName, claim: _Claim) -> tuple[bool, int, DeploymentName]:
    return not claim.is_held, claim.turn, deployment
