"""Structured logs on stderr: our own events, and the records of kopf and other libraries."""

import logging
import sys
from enum import StrEnum

import structlog
from structlog.typing import Processor


class LogFormat(StrEnum):
    """How a record is written."""

    JSON = "json"
    CONSOLE = "console"


def configure(format_: LogFormat, level: str = "INFO") -> None:
    """Send everything through one formatter."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _renderer(format_),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # kopf tells of each event that it hands on; nobody needs that twice.
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)


def _renderer(format_: LogFormat) -> Processor:
    if format_ is LogFormat.JSON:
        return structlog.processors.JSONRenderer(default=str)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
