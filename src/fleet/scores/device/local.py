"""
Sets the machine up that it runs on: what cloud-init calls at a device's first boot.

    python3 -m fleet.scores.device.local [--console FILE] SETUP

*SETUP* is a `FleetDeviceSetupConfig` as JSON. Each step is told in a line of its own, and the last
line is ``fleet-setup: done``, or ``fleet-setup: FAILED: …``. It runs out of the agent's bundle, and
so needs nothing but what an agent needs.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from fleet import errors
from fleet.scores.capabilities import RunsCommands
from fleet.scores.device import travelling
from fleet.scores.device.configuration import FleetDeviceSetupConfig
from fleet.scores.device.setup import FleetDeviceSetupScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Outcome

_PREFIX = "fleet-setup"


def main(
    arguments: Sequence[str] | None = None,
    topology: Callable[[], RunsCommands] = LinuxHostTopology.from_local,
) -> int:
    """Set the machine up, and return the exit status."""
    options = _parse(arguments)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    say = _writer(options.console)
    try:
        config = travelling.decode(options.setup.read_bytes(), FleetDeviceSetupConfig)
        score = FleetDeviceSetupScore(config, told=lambda outcome: say(_line(outcome)))
        score.interpret(topology()).expect()
    except (errors.FleetError, OSError) as exc:
        say(f"FAILED: {' '.join(str(exc).split())}")
        return 1
    say("done")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Sets this machine up as a device of a fleet.")
    parser.add_argument(
        "--console", type=Path, help="where progress is written (default: standard output)"
    )
    parser.add_argument("setup", type=Path, help="the configuration, as JSON")
    return parser.parse_args(arguments)


def _writer(console: Path | None) -> Callable[[str], None]:
    def say(words: str) -> None:
        line = f"{_PREFIX}: {words}\n"
        if console is None:
            sys.stdout.write(line)
            sys.stdout.flush()
            return
        with console.open("a") as file:
            file.write(line)

    return say


def _line(outcome: Outcome) -> str:
    return f"{outcome.score}: {outcome.change}"


if __name__ == "__main__":
    sys.exit(main())
