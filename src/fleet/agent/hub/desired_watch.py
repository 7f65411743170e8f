"""
Follow what the hub wants of this device.

Each event of the watch becomes intent for one deployment. `Synced` adds
nothing to that, and above all takes nothing away: a key that is missing from a
complete replay is not a delete marker, and what runs is kept running.

An event that can't be taken, for a bug, is told as the error of its deployment, whose
containers run on; it is taken again after a backoff, unless there is a newer one.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, assert_never

import structlog

from fleet import errors
from fleet.agent.model import backoff, intents
from fleet.bus import port
from fleet.contracts import kv, messages
from fleet.contracts.names import DeploymentName, DeviceId
from fleet.supervision.failures import Failure, Failures

log = structlog.get_logger(__name__)

PART = "desired state"


class Intake(Protocol):
    """What takes the intents of all deployments: `deployments.dispatcher`."""

    def intent(self, deployment: DeploymentName) -> intents.Intent | None:
        """Tell what is to be done about *deployment*, as far as is known."""

    def accept(self, deployment: DeploymentName, intent: intents.Intent) -> None:
        """Pursue *intent* from now on."""

    def repeat(self) -> tuple[Callable[[], None], ...]:
        """List what makes each deployment's state be told once more."""


class DesiredWatch:
    """
    The watch on our own keys. *on_again* is called after each replay but the first.

    What is told again is spread over *spread* seconds.
    """

    def __init__(
        self,
        device_id: DeviceId,
        desired: port.Bucket[messages.ReconcileScore],
        intake: Intake,
        *,
        may_speak: asyncio.Event,
        on_again: Callable[[], None],
        random: backoff.Random,
        spread: float = 0.0,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._retries: dict[str, asyncio.TimerHandle] = {}
        self._device_id = device_id
        self._desired = desired
        self._intake = intake
        self._may_speak = may_speak
        self._on_again = on_again
        self._random = random
        self._spread = spread

    async def run(self) -> None:
        """Follow until cancelled."""
        async for event in self._desired.watch(kv.desired_state_filter(self._device_id)):
            self._attempt(event)

    def _attempt(self, event: port.Event[messages.ReconcileScore]) -> None:
        """Take an event; one that fails concerns its own deployment only."""
        key = "" if isinstance(event, port.Synced) else event.key
        if retry := self._retries.pop(key, None):
            retry.cancel()
        contained = self._failures.contained(PART, key, passes=(errors.InvalidKey,))
        try:
            with contained:
                self._take(event)
        except errors.InvalidKey as exc:
            log.warning("key not understood", key=exc.element, error=str(exc))
        if contained.failure:
            delay = backoff.RETRYABLE.delay(contained.failure.streak, self._random)
            loop = asyncio.get_running_loop()
            self._retries[key] = loop.call_later(delay, self._attempt, event)
            if key:
                self._tell(key, contained.failure)

    def _tell(self, key: str, failure: Failure) -> None:
        """Have the deployment's own state say what is wrong."""
        with self._failures.contained(PART, f"{key} (telling)"):
            _, deployment = kv.parse_desired_state_key(key)
            kept = intents.in_force(self._intake.intent(deployment))
            reason = errors.InternalError.reason
            self._intake.accept(deployment, intents.Refuse("", reason, failure.message, kept))

    def _take(self, event: port.Event[messages.ReconcileScore]) -> None:
        match event:
            case port.Put(key=key, value=value):
                self._take_desired(key, value)
            case port.Deleted(key=key):
                _, deployment = kv.parse_desired_state_key(key)
                self._intake.accept(deployment, intents.Withdraw())
            case port.Undecodable(key=key, error=error):
                _, deployment = kv.parse_desired_state_key(key)
                previous = self._intake.intent(deployment)
                self._intake.accept(deployment, intents.undecodable(error, previous))
            case port.Synced(keys=keys):
                self._synced(len(keys))
            case _:
                assert_never(event)

    def _take_desired(self, key: str, value: messages.ReconcileScore) -> None:
        _, deployment = kv.parse_desired_state_key(key)
        intent = intents.read(deployment, value, self._intake.intent(deployment))
        if isinstance(intent, intents.Refuse):
            log.warning("score refused", deployment=deployment, reason=intent.reason)
        self._intake.accept(deployment, intent)

    def _synced(self, count: int) -> None:
        log.info("desired state complete", keys=count)
        if not self._may_speak.is_set():
            self._may_speak.set()
            return
        self.say_again()

    def say_again(self) -> None:
        """Tell the hub once more all that it was told, spread over some time: a fleet does so."""
        loop = asyncio.get_running_loop()
        for repeat in (self._on_again, *self._intake.repeat()):
            loop.call_later(self._spread * self._random(), repeat)
