"""
Makes a device of a bare machine, over SSH. It may be run again: what is as wanted stays.

    ./dev python examples/fleet_vm_setup.py 192.0.2.7 pi-01 --user pi --key ~/.ssh/id_ed25519 \\
        --pins pins --hub tls://hub.example:4222 --credentials pi-01.json --label site=berlin

docs/devices.md says what comes before (the pin of the machine's host key) and what comes of it.
"""

import argparse
import sys
from pathlib import Path

from fleet import errors
from fleet.contracts.names import DeviceId
from fleet.scores.device import configuration
from fleet.scores.device.configuration import FleetDeviceSetupConfig, Hub, RegistryLogin
from fleet.scores.device.keys import ensure_fleet_ssh_keypair
from fleet.scores.device.setup import FleetDeviceSetupScore
from fleet.scores.linux import machine
from fleet.scores.linux.architecture import Arch
from fleet.scores.linux.ssh import SshMachine
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change, Outcome
from lab.devices.agent_bundle import bundle

_PYTHON = "import sys; print('%d.%d' % sys.version_info[:2])"


def main() -> int:
    """Set the machine up, and say how to see that it registers."""
    options = _parse()
    login = {"user": options.user, "key": options.key, "known_hosts": options.pins}
    try:
        with SshMachine.connect(options.address, **login) as there:
            wanted = FleetDeviceSetupScore(_config(options, there), told=_tell)
            outcome = wanted.interpret(LinuxHostTopology(there), dry_run=options.dry_run)
            outcome.expect()
    except errors.FleetError as exc:
        sys.stderr.write(f"{type(exc).__name__}: {exc}\n")
        return 1
    print(f"{options.device}: {outcome.change}")
    print(f"next: kubectl get fleetdev {options.device}")
    return 0


def _config(options: argparse.Namespace, there: SshMachine) -> FleetDeviceSetupConfig:
    arch = Arch(machine.run(there, "uname", "-m").strip())
    python = machine.run(there, "python3", "-c", _PYTHON)
    return FleetDeviceSetupConfig(
        device_id=DeviceId(options.device),
        labels=dict(label.split("=", 1) for label in options.label),
        hub=Hub(url=options.hub, credentials=configuration.credentials(options.credentials)),
        bundle=bundle(arch, python.strip()),
        admin_keys=(ensure_fleet_ssh_keypair(options.keys).public,),
        admin_password=configuration.admin_password(),
        registries={name: RegistryLogin(insecure=True) for name in options.insecure_registry},
    )


def _tell(outcome: Outcome) -> None:
    if outcome.change is not Change.UNCHANGED:
        print(f"  {outcome.score}: {outcome.change}")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Make a device of a bare machine, over SSH.")
    parser.add_argument("address")
    parser.add_argument("device", help="the id that the device is to have")
    parser.add_argument("--user", default="fleet-admin", help="who logs in, and may become root")
    parser.add_argument("--key", type=Path, help="the private key to log in with")
    parser.add_argument("--pins", type=Path, required=True, help="known_hosts with its host key")
    parser.add_argument("--hub", required=True, help="where NATS listens")
    parser.add_argument("--credentials", type=Path, required=True, help="the device's, for NATS")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--insecure-registry", action="append", default=[], metavar="HOST:PORT")
    parser.add_argument("--keys", default="fleet", help="namespace of fleet-admin's key pair")
    parser.add_argument("--dry-run", action="store_true", help="only tell")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
