"""
The command `fleet-agent`.

    fleet-agent                 run, with the file that FLEET_AGENT_CONFIG names
    fleet-agent check-config    check that file, and exit
    fleet-agent status          show how this device fares
    fleet-agent --version
"""

import argparse
import asyncio
import faulthandler
import logging
import os
import sys
from collections.abc import Sequence
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import msgspec
import structlog

from fleet import errors
from fleet.agent import settings as settings_module
from fleet.agent.settings import LogFormat, Settings
from fleet.agent.system import lossy, state_directory

log = structlog.get_logger(__name__)

_CLEANUP_SECONDS = 20.0  # an emulated processor takes four
_EXIT_BAD_CONFIG = 78  # EX_CONFIG: systemd and people tell it from a crash
_EXIT_IN_USE = 75  # EX_TEMPFAIL: until the other one has ended

_EPILOG = """
exit status of "status":
  0   all is well
  1   a deployment isn't running, or the device has a problem
  3   no agent runs here: what is shown is what its journal holds
exit status otherwise:
  1   a part of the agent ended for good; its log says which
  75  another agent holds the state directory
  78  the configuration is wrong
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status."""
    options = _parse(arguments)
    try:
        settings = settings_module.load(options.config)
    except errors.InvalidConfig as exc:
        sys.stderr.write(f"fleet-agent: {exc}\n")
        return _EXIT_BAD_CONFIG
    if options.command == "check-config":
        sys.stdout.write(f"{options.config}: ok\n")
        return 0
    if options.command == "status":
        return _show_status(settings, options.format)
    set_up_logging(settings.log)
    try:
        with state_directory.held(settings.state_dir):
            return _run(settings, options.config)
    except errors.DirectoryUnusable as exc:
        log.critical("state directory in use", error=str(exc))
        return _EXIT_IN_USE
    except errors.InvalidConfig as exc:
        log.critical("bad configuration", error=str(exc))
        return _EXIT_BAD_CONFIG


def _run(settings: Settings, config: Path) -> int:
    """Run the event loop; return the exit status."""
    from fleet.supervision import program  # noqa: PLC0415 - the other commands need none of it

    faulthandler.enable()  # where the watchdog ends us, the log says what hung
    return program.run(_serve(settings, config))


def set_up_logging(settings: settings_module.Log) -> None:
    """Write one line per event to stderr, which journald keeps."""
    renderer = (
        structlog.processors.JSONRenderer()
        if settings.format is LogFormat.JSON
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        logger_factory=structlog.PrintLoggerFactory(file=lossy.lossy(sys.stderr)),
        cache_logger_on_first_use=True,
    )


def _version() -> str:
    return metadata.version("fleet")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="fleet-agent",
        description="Keeps this device as its fleet wants it.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fleet-agent {_version()}")
    variable = settings_module.CONFIG_VARIABLE
    parser.add_argument(
        "--config",
        type=Path,
        default=Path(os.environ.get(variable) or settings_module.DEFAULT_CONFIG),
        help=f"the configuration file (default: ${variable}, now %(default)s)",
    )
    parser.add_argument(
        "--format", choices=("table", "json"), default="table", help="how status is written"
    )
    commands = ("run", "check-config", "status")
    parser.add_argument("command", nargs="?", default="run", choices=commands)
    return parser.parse_args(arguments)


def _show_status(settings: Settings, form: str) -> int:
    """Ask the agent, else its journal; print what is known, and return the exit status."""
    from fleet.agent.device import status, status_command  # noqa: PLC0415 - running needs none of it

    snapshot = status_command.ask(settings)
    sys.stdout.write(
        msgspec.json.encode(snapshot).decode() + "\n" if form == "json" else status.show(snapshot)
    )
    return status.exit_status(snapshot)


async def _serve(settings: Settings, config: Path) -> int:
    """Run until a signal asks to end; return the exit status. The containers run on."""
    # Here, so that --version and check-config needn't load podman and NATS.
    from fleet.agent import service  # noqa: PLC0415
    from fleet.agent.journal import files  # noqa: PLC0415
    from fleet.agent.runtimes.podman import device_nodes, host_paths  # noqa: PLC0415
    from fleet.agent.runtimes.podman.api.runtime import Options, PodmanRuntime  # noqa: PLC0415
    from fleet.agent.runtimes.podman.image_record import Record  # noqa: PLC0415
    from fleet.agent.runtimes.podman.images import Keeping  # noqa: PLC0415
    from fleet.bus import nats  # noqa: PLC0415
    from fleet.contracts import permissions, quantities  # noqa: PLC0415
    from fleet.supervision import hooks, program  # noqa: PLC0415
    from fleet.supervision.failures import Failures  # noqa: PLC0415
    from fleet.supervision.systemd import Notifier  # noqa: PLC0415

    notifier = Notifier.from_environment()
    notifier.arm()
    failures = Failures()
    structlog.contextvars.bind_contextvars(device=str(settings.device_id))
    log.info("starting", version=_version())
    podman = settings.podman
    runtime = PodmanRuntime(
        settings.device_id,
        Options(
            socket=podman.socket,
            ulimits=podman.ulimits,
            timeout=podman.timeout,
            stop_timeout=podman.stop_timeout,
            cleanup_within=_CLEANUP_SECONDS if os.geteuid() else 0.0,
            registries=settings.registries,
            host_paths=host_paths.of_agent(settings, config),
            device_nodes=device_nodes.DeviceNodes(
                settings.host_paths.allow, is_rootless=bool(os.geteuid())
            ),
            files=settings.state_dir / "files",
            log_max_size=(
                quantities.memory_bytes(podman.log_max_size) if podman.log_max_size else 0
            ),
        ),
    )
    jitter = timedelta(seconds=settings.nats.jitter)
    bus = await nats.connect(
        settings.nats.url,
        credentials=settings.nats.credentials,
        ca=settings.nats.ca,
        name=f"fleet-agent-{settings.device_id}",
        inbox_prefix=permissions.inbox_prefix(settings.device_id),
        pace=nats.Pace(jitter=jitter),
    )
    identity = service.Identity(settings.device_id, settings.labels, _version())
    async with bus:
        notifier.ready()
        record = Record(settings.state_dir / "images.json")
        keeping = Keeping(
            quantities.memory_bytes(settings.images.budget),
            record,
            transfers=settings.state_dir / "transfers.json",
        )
        journal = settings.state_dir / "journal"
        serving = service.run(
            identity,
            runtime,
            bus,
            files.FileStore(journal),
            records=files.FileStore(journal, files.RECORD),
            state_dir=settings.state_dir,
            hub=settings.nats.url,
            keeping=keeping,
            spread=float(settings.nats.jitter),
            heartbeat_interval=float(settings.nats.heartbeat_interval),
            failures=failures,
            on_beat=notifier.alive,
        )
        stop = asyncio.Event()
        program.stop_on_signals(stop)
        with hooks.recorded(failures, asyncio.get_running_loop()):
            status = await program.until(stop, serving)
        notifier.stopping()
    log.info("ending; containers run on")
    return status


if __name__ == "__main__":
    sys.exit(main())
