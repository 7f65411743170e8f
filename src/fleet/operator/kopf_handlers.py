"""
The kopf side: events go to the informer, and a deletion waits for its release.

kopf keeps the watches and the finalizers and nothing else. There are no create
or update handlers, so nothing has to be remembered on the objects; it writes no
status and posts no events. What a handler raises that nobody foresaw is recorded; the deletion
that it concerns waits, and is tried again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final

import kopf

from fleet import errors
from fleet.contracts import resources
from fleet.operator.controller import Controller
from fleet.operator.ports import Access
from fleet.supervision import program

DEPLOYMENTS: Final = (resources.GROUP, resources.VERSION, resources.DEPLOYMENT_PLURAL)
DEVICES: Final = (resources.GROUP, resources.VERSION, resources.DEVICE_PLURAL)
LOGIN_PATIENCE: Final = 60
PART: Final = "kopf"
DELETION_RETRY_SECONDS: Final = 15

Login = Callable[[], Awaitable[Access]]


class Forgetful(kopf.DiffBaseStorage):
    """Remembers no last state on the objects: nothing here asks what changed."""

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """Remember nothing."""
        return None

    def store(self, **_: Any) -> None:
        """Write nothing."""


def registry(controller: Controller, login: Login) -> kopf.OperatorRegistry:
    """Register all that kopf shall do for *controller*."""
    made = kopf.OperatorRegistry()

    @kopf.on.event(*DEPLOYMENTS, registry=made)
    async def deployment_event(event: kopf.RawEvent, **_: Any) -> None:
        controller.informer.deployment_event(event["type"], event["object"])

    @kopf.on.event(*DEVICES, registry=made)
    async def device_event(event: kopf.RawEvent, **_: Any) -> None:
        controller.informer.device_event(event["type"], event["object"])

    @kopf.on.delete(*DEPLOYMENTS, registry=made)
    async def deployment_deleted(uid: str | None, **_: Any) -> None:
        await _recorded(controller, str(uid), controller.released(str(uid)))

    @kopf.on.delete(*DEVICES, registry=made)
    async def device_deleted(uid: str | None, **_: Any) -> None:
        await _recorded(controller, str(uid), controller.decommissioned(str(uid)))

    _register_login(made, login)
    return made


def settings() -> kopf.OperatorSettings:
    """Set kopf up as quiet as it can be."""
    made = kopf.OperatorSettings()
    made.persistence.finalizer = resources.FINALIZER
    made.persistence.diffbase_storage = Forgetful()
    made.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=resources.GROUP)
    made.peering.standalone = True
    made.scanning.disabled = True
    made.posting.enabled = False
    made.networking.connect_timeout = 10
    # kopf's own delays grow to minutes, which an outage of the API server would outlive.
    made.networking.error_backoffs = (1, 1, 2, 3, 5)
    made.queueing.error_delays = (1, 1, 2, 3, 5, 8, 13, 21, 30)
    made.watching.server_timeout = 300
    # All at once, ten thousand devices were one answer of tens of megabytes, and as many workers
    # that each wait for five seconds whether more comes.
    made.watching.chunk_size = 500
    made.queueing.idle_timeout = 0.5
    return made


async def run(
    controller: Controller, login: Login, ending: asyncio.Event, stop: asyncio.Event
) -> None:
    """
    Run kopf until *ending*. Signals set *stop*, which is the program's.

    :raises errors.InternalError: kopf ended, though nobody had asked it to.

    kopf's own `run_tasks` would in the end cancel every task of the program that is
    younger than kopf; what kopf spawns ends with its root tasks.
    """
    tasks = await kopf.spawn_tasks(
        registry=registry(controller, login),
        settings=settings(),
        clusterwide=True,
        stop_flag=ending,
        memo=kopf.Memo(controller=controller),
    )
    # kopf took the signals over; they are the whole program's.
    program.stop_on_signals(stop)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for result in ended:
        if getattr(result, "status", None) == HTTPStatus.NOT_FOUND:
            raise errors.ObjectNotFound("a kind that is watched isn't defined") from result
        if isinstance(result, Exception):
            raise result
    if not ending.is_set():
        raise errors.InternalError("kopf ended by itself")


async def _recorded(controller: Controller, uid: str, released: Coroutine[Any, Any, None]) -> None:
    """Wait until a deletion may go on; where that fails, kopf asks again."""
    contained = controller.failures.contained(PART, uid)
    with contained:
        await released
    if contained.failure:
        raise kopf.TemporaryError(contained.failure.message, delay=DELETION_RETRY_SECONDS)


def _register_login(made: kopf.OperatorRegistry, login: Login) -> None:
    refused: set[str | None] = set()

    @kopf.on.login(registry=made, retries=LOGIN_PATIENCE, backoff=1)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        """Hand credentials over. kopf asks again only for those that it found refused."""
        access = await login()
        if access.token in refused:
            raise kopf.TemporaryError("waiting for another token", delay=1)
        refused.add(access.token)
        return _connection(access)


def _connection(access: Access) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=access.server,
        ca_path=access.ca_file,
        insecure=not access.verify,
        token=access.token,
        certificate_path=access.certificate_file,
        private_key_path=access.key_file,
    )
