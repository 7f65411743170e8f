"""
The operator's process: `fleet-operator`.

It starts whether or not NATS and the API server are there, waits for both, and
may be killed at any time: all that it knows, it reads again.
"""

import asyncio
import sys
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import structlog

from fleet import errors
from fleet.bus import nats, streams
from fleet.bus.nats import NatsBus
from fleet.bus.port import Bus
from fleet.contracts.permissions import OPERATOR_INBOX_PREFIX
from fleet.operator import kopf_handlers, settings
from fleet.operator.adapters import collector, http_server, logs, stream_storage
from fleet.operator.adapters.http_server import Answers
from fleet.operator.adapters.kubernetes import KubernetesCluster
from fleet.operator.adapters.loop_steps import Steps, loop_of
from fleet.operator.adapters.metrics import Metrics
from fleet.operator.adapters.stream_storage import Alarm
from fleet.operator.controller import Controller
from fleet.operator.settings import Settings

log = structlog.get_logger()

# One operator can't stampede its server; it comes back at once.
PACE: Final = nats.Pace(jitter=timedelta(0), longest_retry=timedelta(seconds=5))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; return the exit code."""
    try:
        told = settings.read(sys.argv[1:] if arguments is None else arguments)
    except errors.InvalidConfig as exc:
        sys.stderr.write(f"fleet-operator: {exc}\n")
        return 2
    logs.configure(told.log_format, told.log_level)
    steps = Steps()
    collector.expect_growth()
    with asyncio.Runner(loop_factory=loop_of(steps)) as runner:
        return runner.run(run(told, steps))


async def run(told: Settings, steps: Steps) -> int:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    kopf_handlers.stop_on_signals(stop)
    async with AsyncExitStack() as stack:
        try:
            bus = await stack.enter_async_context(await _connect(told))
        except errors.InvalidConfig as exc:
            sys.stderr.write(f"fleet-operator: {exc}\n")
            return 2
        cluster = KubernetesCluster()
        stack.push_async_callback(cluster.close)
        metrics = Metrics()
        controller = Controller(
            bus, cluster, metrics, intervals=told.intervals, listed=collector.settle
        )
        metrics.watch(controller.store, steps)
        answers = Answers(lambda: unready(bus, controller), metrics.render)
        await stack.enter_async_context(http_server.serving(told.health, told.metrics, answers))
        log.info("operator started", nats=told.nats_url)
        parts = {
            "streams": _keep_streams(told, bus, metrics),
            "controller": controller.run(),
            "kopf": _watch(controller, cluster, stop),
        }
        await _run_parts(parts, stop)
    log.info("operator stopped")
    return 0


def unready(bus: Bus, controller: Controller) -> str:
    """Say what is missing for the operator to be ready; empty when it is."""
    if not bus.connected:
        return "not connected to NATS"
    missing = ", ".join(controller.barrier.missing)
    return f"not listed yet: {missing}" if missing else ""


async def _connect(told: Settings) -> NatsBus:
    return await nats.connect(
        told.nats_url,
        credentials=told.nats_credentials,
        ca=told.nats_ca,
        name="fleet-operator",
        inbox_prefix=OPERATOR_INBOX_PREFIX,
        pace=PACE,
    )


async def _run_parts(parts: Mapping[str, Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    """Run all parts until *stop*; the end of one is the end of all."""
    tasks = [asyncio.create_task(part, name=name) for name, part in parts.items()]
    waiting = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait([*tasks, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (*tasks, waiting):
        task.cancel()
    await asyncio.gather(*tasks, waiting, return_exceptions=True)
    for task in done - {waiting}:
        log.error("part ended", part=task.get_name(), exc_info=task.exception())


async def _keep_streams(told: Settings, bus: NatsBus, metrics: Metrics) -> None:
    sizing = streams.Sizing(told.replicas, told.max_bytes)
    every = min(stream_storage.EVERY, told.intervals.resync)
    await stream_storage.keep(bus, sizing, Alarm(metrics), every=every)


async def _watch(controller: Controller, cluster: KubernetesCluster, stop: asyncio.Event) -> None:
    """
    Run kopf once the API server answers (it gives up where we wait), for a life of the cluster.

    It would go on to watch from the versions of a store that was lost, and hear nothing.
    """
    informer = controller.informer
    await informer.listed.wait()
    while not stop.is_set():
        informer.renewed.clear()
        ending = asyncio.Event()
        signs = asyncio.create_task(_first(stop, informer.renewed, then=ending), name="signs")
        try:
            await kopf_handlers.run(controller, cluster.access, ending, stop)
        finally:
            signs.cancel()


async def _first(*events: asyncio.Event, then: asyncio.Event) -> None:
    """Set *then* once one of *events* is."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        then.set()
    finally:
        for task in waiting:
            task.cancel()


if __name__ == "__main__":
    sys.exit(main())
