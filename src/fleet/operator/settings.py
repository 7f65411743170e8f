"""What the operator is told: flags, each with a variable of the environment to fall back on."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from fleet import errors
from fleet.bus.streams import MAX_BYTES
from fleet.contracts import hub
from fleet.operator.adapters.http_server import Listen
from fleet.operator.adapters.logs import LogFormat
from fleet.operator.intervals import Intervals


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's configuration."""

    nats_url: str
    nats_credentials: Path | None = None
    nats_ca: Path | None = None
    replicas: int = 1
    max_bytes: int = MAX_BYTES
    health: Listen | None = None
    metrics: Listen | None = None
    intervals: Intervals = field(default_factory=Intervals)
    log_format: LogFormat = LogFormat.JSON
    log_level: str = "info"


def read(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Settings:
    """
    Read flags and environment.

    :raises SystemExit: a flag is bad, or help was asked for.
    :raises errors.InvalidConfig: a value isn't one.
    """
    found = _parser(environment).parse_args(arguments)
    return Settings(
        nats_url=_servers(found.nats_url),
        nats_credentials=Path(found.nats_credentials) if found.nats_credentials else None,
        nats_ca=Path(found.nats_ca) if found.nats_ca else None,
        replicas=_number("replicas", found.replicas),
        max_bytes=_number("max-bytes", found.max_bytes),
        health=Listen.parse(found.health_listen) if found.health_listen else None,
        metrics=Listen.parse(found.metrics_listen) if found.metrics_listen else None,
        intervals=Intervals(
            silence=_seconds("silence", found.silence),
            resync=_seconds("resync", found.resync),
            orphans=_seconds("orphan-interval", found.orphan_interval),
        ),
        log_format=LogFormat(found.log_format),
        log_level=found.log_level,
    )


def _servers(text: str) -> str:
    hub.parse_servers(text, where="--nats-url")
    return text


def _number(flag: str, text: str) -> int:
    if not text.isdecimal():
        raise errors.InvalidConfig(f"--{flag}: {text!r} is no number", element=flag)
    return int(text)


def _seconds(flag: str, text: str) -> timedelta:
    return timedelta(seconds=_number(flag, text))


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleet-operator",
        description="Turns Deployment resources into desired state on devices, and reports back."
        " The cluster is that of KUBECONFIG, or the one that this runs in.",
    )

    def add(flag: str, default: str, help_: str, choices: Sequence[str] | None = None) -> None:
        variable = f"FLEET_{flag.strip('-').replace('-', '_').upper()}"
        if variable == "FLEET_REPLICAS":
            variable = "FLEET_NATS_REPLICAS"
        parser.add_argument(
            flag,
            default=environment.get(variable, default),
            choices=choices,
            help=f"{help_} [{variable}, default {default or 'none'}]",
        )

    add("--nats-url", "nats://127.0.0.1:4222", "where NATS is; several, comma-separated")
    add("--nats-credentials", "", "a .creds file, or JSON with user and password")
    add("--nats-ca", "", "the authority of the server's certificate")
    add("--replicas", "1", "how many NATS servers keep each bucket")
    add("--max-bytes", str(MAX_BYTES), "the most that one bucket may hold")
    add("--health-listen", "", "host:port of /healthz and /readyz")
    add("--metrics-listen", "", "host:port of /metrics")
    add("--silence", "30", "the seconds without a heartbeat after which a device is stale")
    add("--resync", "300", "the seconds after which everything is listed and replayed again")
    add("--orphan-interval", "600", "the seconds after which an orphan may be removed")
    add("--log-format", "json", "how logs are written", [str(f) for f in LogFormat])
    add("--log-level", "info", "the least level that is logged")
    return parser
