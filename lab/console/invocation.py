"""What the invoke tasks of the lab share: options, also of the environment, and how they end."""

import contextlib
import logging
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path

import structlog
from invoke.exceptions import Exit

from fleet import errors
from lab.console import output
from lab.errors import TopologyInvalid
from lab.host.lab_host import LabHost

PATIENCE = 900  # another command on the same lab: a first `up` builds and installs
NAME = "name of the lab (LAB_NAME; default: default)"
FORMAT = "table or json (LAB_FORMAT)"


def name_of(given: str) -> str:
    """Return the name of the lab that is meant."""
    return given or os.environ.get("LAB_NAME") or "default"


def is_json(given: str) -> bool:
    """
    Tell whether JSON is wanted instead of a table.

    :raises TopologyInvalid: something else is.
    """
    match given or os.environ.get("LAB_FORMAT", "table"):
        case "json":
            return True
        case "table":
            return False
        case other:
            raise TopologyInvalid(f"no format {other!r}", hint="there are table and json")


def is_set(variable: str) -> bool:
    """Tell whether a variable of the environment says yes."""
    return os.environ.get(variable, "").lower() not in {"", "0", "no", "false"}


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Show an error as a person needs it, and end with its exit code."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    except errors.FleetError as exc:
        output.failure(exc)
        raise Exit(code=_exit_code(exc)) from exc
    except BrokenPipeError as exc:
        if not _is_unread(sys.stdout.fileno()):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what isn't flushed yet
        raise Exit(code=1) from exc  # as rich does: `head` has read enough
    except KeyboardInterrupt as exc:
        output.errors.print("interrupted; the same command goes on where it was")
        raise Exit(code=130) from exc


def _exit_code(error: errors.FleetError) -> int:
    if isinstance(error, errors.DirectoryUnusable):
        return TopologyInvalid.exit_code  # a setting of the environment is an option, too
    return getattr(error, "exit_code", 1)


def _is_unread(pipe: int) -> bool:
    """Tell whether whoever read *pipe* is gone."""
    poll = select.poll()
    poll.register(pipe, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def log_to(host: LabHost) -> None:
    """Write what the scores log to the lab's own log: the console shows progress instead."""
    host.logs.mkdir(parents=True, exist_ok=True)
    log_to_file(host.log("lab"))


def log_to_file(path: Path) -> None:
    """Write what is logged to *path*, a JSON object a line."""
    file = path.open("a", buffering=1)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file),
    )
