"""
NATS as a process of the lab: what `NatsBasicScore` needs of a topology.

Users are changed by reloading (SIGHUP), which keeps every connection of the others; anything else
replaces the process. What the server has loaded it says itself: the digest of its configuration, to
be compared with the one that `nats-server -t` finds in the file.
"""

import json
import os
import re
import signal
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.scores import nats_server
from fleet.scores.nats_server import NatsServer
from lab.errors import LabError
from lab.host import files, processes
from lab.host.lab_host import LabHost
from lab.host.processes import ProcessScore
from lab.system import commands, probes, waiting
from lab.system.programs import program

PART = "nats-server"
_SECRET = 0o600
_DIGEST = re.compile(r"sha256:[0-9a-f]+")
_RELOAD_WITHIN = 10.0


@dataclass(frozen=True, slots=True)
class NatsHost:
    """The lab's host, as far as it runs NATS. *directory* holds the configuration."""

    host: LabHost
    directory: Path

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.directory / "nats.conf"

    def nats_differences(self, wanted: NatsServer) -> tuple[str, ...]:
        """See `capabilities.RunsNats`."""
        file = self._file(wanted).differences(self.host)
        process = self._process(wanted).differences(self.host)
        if file or process:
            return (*file, *process)
        stale = self._unloaded(wanted)
        return (stale,) if stale else ()

    def run_nats(self, wanted: NatsServer) -> None:
        """See `capabilities.RunsNats`."""
        self._check(wanted)
        self._file(wanted).bring_about(self.host)
        process = self._process(wanted)
        if process.differences(self.host):
            process.bring_about(self.host)
        if self._unloaded(wanted):
            self._reload(wanted)

    def _file(self, wanted: NatsServer) -> files.FileScore:
        return files.FileScore(self.config, nats_server.render(wanted), _SECRET)

    def _process(self, wanted: NatsServer) -> ProcessScore:
        settings = replace(wanted, users=())  # users alone are no reason for another process
        return ProcessScore(
            part=PART,
            argv=(program(PART), "--config", str(self.config)),
            ready=probes.http(f"http://{wanted.monitor}/healthz"),
            config_digest=files.digest(nats_server.render(settings)),
        )

    def _check(self, wanted: NatsServer) -> None:
        """Have the server itself read the configuration, before the old one is replaced."""
        draft = self.directory / "nats.conf.draft"
        files.write(draft, nats_server.render(wanted), _SECRET)
        try:
            _digest_in(draft)
        finally:
            draft.unlink()

    def _unloaded(self, wanted: NatsServer) -> str:
        loaded, written = _loaded(wanted.monitor), _digest_in(self.config)
        return "" if loaded == written else "the server has another configuration loaded"

    def _reload(self, wanted: NatsServer) -> None:
        pid = processes.pid_of(self.host.ledger, PART)
        if pid is None:
            raise LabError(f"{PART} ended by itself", element=PART, log=self.host.log(PART))
        os.kill(pid, signal.SIGHUP)
        waiting.wait_for(
            f"{PART} loads its configuration",
            lambda: self._unloaded(wanted),
            within=_RELOAD_WITHIN,
        )


def _loaded(monitor: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{monitor}/varz", timeout=5) as answer:
            return str(json.load(answer)["config_digest"])
    except (OSError, ValueError, KeyError) as exc:
        raise LabError(f"{PART} doesn't say what it loaded: {exc}", element=PART) from exc


def _digest_in(config: Path) -> str:
    answer = commands.ask(program(PART), "-t", "--config", str(config))
    found = _DIGEST.search(answer.out + answer.err)
    if not answer.ok or found is None:
        raise LabError(f"{PART} refuses its configuration: {answer.err.strip()}", element=PART)
    return found.group()
