"""Renders the agent's configuration for one device of the lab. Decides only."""

import json
from collections.abc import Mapping
from pathlib import Path

from fleet.scores.device.configuration import HEARTBEAT_INTERVAL
from lab.devices.host_device import HostDevice
from lab.system.podman_configuration import Engine

_JITTER_SECONDS = 2  # a lab's few devices are no stampede, and somebody waits for them


def agent_config(
    device: HostDevice, engine: Engine, *, socket: Path, credentials: Path, state_dir: Path
) -> str:
    """Return the agent's TOML. JSON's strings are TOML's too."""
    limits = engine.limits.as_dict() if engine.limits else {}
    return "\n".join(
        (
            f"device_id = {json.dumps(device.id)}",
            f"state_dir = {json.dumps(str(state_dir))}",
            "[labels]",
            *_table(device.labels),
            "[nats]",
            f"url = {json.dumps(device.nats_url)}",
            f"credentials = {json.dumps(str(credentials))}",
            f"jitter = {_JITTER_SECONDS}",
            *_heartbeats(device.heartbeat_interval),
            "[podman]",
            f"socket = {json.dumps(f'unix://{socket}')}",
            *(["[podman.ulimits]", *_table(limits)] if limits else []),
            "[log]",
            'format = "json"',
            "",
        )
    )


def _heartbeats(interval: int) -> tuple[str, ...]:
    """Set the interval where it isn't the agent's own: an agent of before knows no such key."""
    return () if interval == HEARTBEAT_INTERVAL else (f"heartbeat_interval = {interval}",)


def _table(values: Mapping[str, str] | Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{json.dumps(key)} = {json.dumps(value)}" for key, value in sorted(values.items())
    )
