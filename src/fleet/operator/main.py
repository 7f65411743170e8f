"""
The operator's process: `fleet-operator`.

It starts whether or not NATS and the API server are there, waits for both, and
may be killed at any time: all that it knows, it reads again. A part that fails
is run again; one that ends for good ends the process with status 1.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Final

import structlog

from fleet import errors
from fleet.bus import nats, port, streams
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
from fleet.operator.watches.sync_barrier import SyncBarrier
from fleet.supervision import hooks, program
from fleet.supervision.failures import Failures
from fleet.supervision.pulse import Pulse
from fleet.supervision.supervisor import Supervisor

log = structlog.get_logger()

# One operator can't stampede its server; it comes back at once.
PACE: Final = replace(nats.ALONE, longest_retry=timedelta(seconds=5))
# The longest step of a loop that works, ten thousand devices or not, is a fraction of this.
STALLED_SECONDS: Final = 10.0


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
    return program.run(run(told, steps), loop_of(steps))


async def run(told: Settings, steps: Steps | None = None) -> int:
    """Run until SIGTERM or SIGINT, in a loop that tells *steps*; return the exit code."""
    steps = steps or Steps()
    stop = asyncio.Event()
    program.stop_on_signals(stop)
    failures = Failures()
    with hooks.recorded(failures, asyncio.get_running_loop()):
        async with AsyncExitStack() as stack:
            cluster = KubernetesCluster()
            stack.push_async_callback(cluster.close)
            try:
                await cluster.check_access()
                bus = await stack.enter_async_context(await _connect(told))
            except errors.InvalidConfig as exc:
                sys.stderr.write(f"fleet-operator: {exc}\n")
                return 2
            serving = _serve(told, bus, cluster, failures=failures, stop=stop, steps=steps)
            code = await program.until(stop, serving)
    log.info("operator stopped")
    return code


async def _serve(
    told: Settings,
    bus: NatsBus,
    cluster: KubernetesCluster,
    *,
    failures: Failures,
    stop: asyncio.Event,
    steps: Steps,
) -> None:
    """Run every part, until cancelled or one of them ends for good."""
    metrics, pulse = Metrics(), Pulse(time.monotonic)
    async with AsyncExitStack() as stack:
        controller = Controller(
            bus,
            cluster,
            metrics,
            intervals=told.intervals,
            failures=failures,
            listed=collector.settle,
        )
        metrics.watch(controller.store, steps)
        metrics.watch_connection(lambda: bus.unheard_for, lambda: bus.faults)
        answers = Answers(
            lambda: unhealthy(pulse), lambda: unready(bus, controller.barrier), metrics.render
        )
        await stack.enter_async_context(http_server.serving(told.health, told.metrics, answers))
        log.info("operator started", nats=told.nats_url)
        supervisor = await stack.enter_async_context(Supervisor(failures))
        supervisor.start("pulse", pulse.run)
        supervisor.start("streams", lambda: _keep_streams(told, bus, metrics))
        supervisor.start("controller", controller.run)
        supervisor.start(kopf_handlers.PART, lambda: _watch(controller, cluster, stop))


def unhealthy(pulse: Pulse) -> str:
    """Say why the operator should be started anew; empty when it shouldn't."""
    return f"no turn of the event loop for {pulse.age:.0f} s" if pulse.age > STALLED_SECONDS else ""


def unready(bus: Bus, barrier: SyncBarrier) -> str:
    """Say what is missing for the operator to be ready; empty when it is."""
    if not bus.connected:
        return "not connected to NATS"
    if not port.is_heard(bus):
        return f"NATS has been silent for {bus.unheard_for:.0f} s"
    missing = ", ".join(barrier.missing)
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


async def _keep_streams(told: Settings, bus: NatsBus, metrics: Metrics) -> None:
    sizing = streams.Sizing(told.replicas, told.max_bytes)
    every = min(stream_storage.EVERY, told.intervals.resync)
    await stream_storage.keep(bus, sizing, Alarm(metrics), every=every)


async def _watch(controller: Controller, cluster: KubernetesCluster, stop: asyncio.Event) -> None:
    """
    Run kopf once the API server answers (it gives up where we wait), for a life of the cluster.

    It would go on to watch from the versions of a store that was lost, and hear nothing. It also
    gives up when a definition goes; begun again, this waits until all kinds can be listed.
    """
    informer = controller.informer
    await informer.list_soon()
    while True:
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
