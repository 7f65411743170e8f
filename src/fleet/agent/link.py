"""
Follow what the hub wants of this device.

Each event of the watch becomes intent for one deployment. `Synced` adds
nothing to that, and above all takes nothing away: a key that is missing from a
complete replay is not a delete marker, and what runs is kept running.
"""

import asyncio
from collections.abc import Callable
from typing import assert_never

import structlog

from fleet import errors
from fleet.agent import backoff, intents
from fleet.agent.roster import Roster
from fleet.bus import port
from fleet.contracts import kv, messages
from fleet.contracts.names import DeviceId

log = structlog.get_logger(__name__)

# Over how many seconds the states told again after a break are spread, at most.
REPEAT_SECONDS = 10.0


class Link:
    """The watch on our own keys. *on_again* is called at each replay after the first."""

    def __init__(
        self,
        device_id: DeviceId,
        desired: port.Bucket[messages.ReconcileScore],
        roster: Roster,
        *,
        may_speak: asyncio.Event,
        on_again: Callable[[], None],
        random: backoff.Random,
        spread: float = REPEAT_SECONDS,
    ) -> None:
        self._device_id = device_id
        self._desired = desired
        self._roster = roster
        self._may_speak = may_speak
        self._on_again = on_again
        self._random = random
        self._spread = spread

    async def run(self) -> None:
        """Follow until cancelled."""
        async for event in self._desired.watch(kv.desired_state_filter(self._device_id)):
            try:
                self._take(event)
            except errors.InvalidKey as exc:
                log.warning("key not understood", key=exc.element, error=str(exc))

    def _take(self, event: port.Event[messages.ReconcileScore]) -> None:
        match event:
            case port.Put(key=key, value=value):
                self._take_desired(key, value)
            case port.Deleted(key=key):
                _, deployment = kv.parse_desired_state_key(key)
                self._roster.accept(deployment, intents.Withdraw())
            case port.Undecodable(key=key, error=error):
                _, deployment = kv.parse_desired_state_key(key)
                previous = self._roster.intent(deployment)
                self._roster.accept(deployment, intents.undecodable(error, previous))
            case port.Synced(keys=keys):
                self._synced(len(keys))
            case _:
                assert_never(event)

    def _take_desired(self, key: str, value: messages.ReconcileScore) -> None:
        _, deployment = kv.parse_desired_state_key(key)
        intent = intents.read(deployment, value, self._roster.intent(deployment))
        if isinstance(intent, intents.Refuse):
            log.warning("score refused", deployment=deployment, reason=intent.reason)
        self._roster.accept(deployment, intent)

    def _synced(self, count: int) -> None:
        log.info("desired state complete", keys=count)
        if not self._may_speak.is_set():
            self._may_speak.set()
            return
        self.say_again()

    def say_again(self) -> None:
        """Tell the hub once more all that it was told; states are spread over some seconds."""
        self._on_again()
        loop = asyncio.get_running_loop()
        for repeat in self._roster.repeat():
            loop.call_later(self._spread * self._random(), repeat)
