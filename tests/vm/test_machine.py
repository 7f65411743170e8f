"""A machine as it was set up: what is on it, who may what, and what another set-up finds."""

import json
import re
from typing import Any

import pytest

from fleet.scores.device.setup import FleetDeviceSetupScore
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change, Outcome
from lab.devices.vm import seed, setup
from lab.devices.vm.device import VmDevice
from lab.lifecycle import status as statuses
from tests.using_lab.devices import Device
from tests.using_lab.fleets import Fleet
from tests.using_lab.images import Images
from tests.using_lab.labs import Lab
from tests.using_lab.manifests import deployment, service
from tests.vm.machines import Machine

UNIT = "fleet-agent.service"
AGENT = "fleet-agent"
PORT = 18680
NODE_PORT = 18681
EXPOSED_AT_MOST = 3.0  # of 10, by systemd's own count; a unit without any confinement has 9.6
MANAGED = ("/etc", "/opt/fleet-agent", "/usr/local/bin", "/home", "/var/lib/systemd/linger")


def test_the_agent_is_enabled_and_runs(host: Any):
    agent = host.service(UNIT)

    assert agent.is_enabled
    assert agent.is_running


def test_the_agent_is_confined(host: Any):
    told = host.service(UNIT).systemd_properties

    assert told["NoNewPrivileges"] == "yes"
    assert told["ProtectSystem"] == "strict"
    assert "CapabilityBoundingSet" not in told, "systemctl leaves out what is empty"
    assert told["User"] == AGENT


def test_systemd_itself_counts_the_agent_as_little_exposed(host: Any):
    told = host.check_output(f"systemd-analyze security --no-pager {UNIT}")

    found = re.search(rf"exposure level for {UNIT}: ([0-9.]+)", told)
    assert found, told
    assert float(found[1]) <= EXPOSED_AT_MOST


def test_the_running_process_has_no_capability_and_may_gain_none(host: Any):
    pid = host.service(UNIT).systemd_properties["MainPID"]
    lines = host.file(f"/proc/{pid}/status").content_string.splitlines()
    told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)

    assert {told[name].strip("0") for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {""}
    assert told["NoNewPrivs"] == "1"
    assert told["Seccomp"] == "2"


def test_the_agents_user_has_no_shell_and_no_password_and_lingers(host: Any):
    user = host.user(AGENT)

    assert user.shell == "/usr/sbin/nologin"
    assert user.password[0] in "!*"
    assert host.file(f"/var/lib/systemd/linger/{AGENT}").exists
    assert host.file("/etc/subuid").contains(f"^{AGENT}:700000000:65536$")


@pytest.mark.parametrize(
    ("path", "user", "group", "mode"),
    [
        ("/opt/fleet-agent", "root", "root", 0o755),
        ("/usr/local/bin/fleet-agent", "root", "root", 0o755),
        ("/etc/fleet-agent", "root", AGENT, 0o750),
        ("/etc/fleet-agent/config.toml", "root", AGENT, 0o640),
        ("/etc/fleet-agent/credentials.json", AGENT, AGENT, 0o600),
        (f"/etc/systemd/system/{UNIT}", "root", "root", 0o644),
        ("/var/lib/fleet-agent", AGENT, AGENT, 0o700),
        ("/var/lib/fleet-podman", AGENT, AGENT, 0o700),
    ],
)
def test_a_file_is_whose_it_should_be(host: Any, path: str, user: str, group: str, mode: int):
    found = host.file(path)

    assert (found.user, found.group, oct(found.mode)) == (user, group, oct(mode))


def test_current_leads_to_a_whole_version(host: Any):
    current = host.file("/opt/fleet-agent/current")

    assert current.is_symlink
    assert host.file(f"{current.linked_to}/fleet/agent/main.py").is_file


def test_the_agent_can_not_write_where_its_containers_or_its_packages_lie(host: Any):
    pid = host.service(UNIT).systemd_properties["MainPID"]

    for folder in ("/var/lib/fleet-podman", "/opt/fleet-agent", "/etc/fleet-agent"):
        inside = f"nsenter --mount --target {pid} setpriv --reuid {AGENT} --clear-groups"
        assert host.run(f"{inside} touch {folder}/mine").failed, folder


def test_ssh_lets_nobody_in_as_root_or_by_password(host: Any):
    said = host.check_output("/usr/sbin/sshd -T").splitlines()

    assert "permitrootlogin no" in said
    assert "passwordauthentication no" in said
    assert "kbdinteractiveauthentication no" in said


def test_the_journal_is_bounded(host: Any):
    said = host.check_output("systemd-analyze cat-config systemd/journald.conf")

    assert re.search(r"^SystemMaxUse=\S+$", said, re.MULTILINE)
    assert re.search(r"^RuntimeMaxUse=\S+$", said, re.MULTILINE)


def test_containers_are_the_agents_users_and_their_ports_the_only_ones_open(
    host: Any, fleet: Fleet, devices: tuple[Device, ...], images: Images
):
    device, *_ = devices
    assert _open_ports(host) == {22}

    fleet.apply(
        deployment("open", service("page", images.v1, port=PORT), on=fleet.label("open", device))
    )
    device.await_page(PORT, images.v1_says)

    assert _open_ports(host) == {22, PORT}
    assert json.loads(host.check_output("podman ps --all --format json")) == []
    pid = device.inspect("fleet.open.page")["State"]["Pid"]
    owner = int(host.check_output(f"stat --format %u /proc/{pid}"))
    assert owner == host.user(AGENT).uid or owner >= 700_000_000


def test_a_service_has_the_node_that_is_given_to_the_agents_user(
    host: Any, fleet: Fleet, devices: tuple[Device, ...], images: Images
):
    """
    Its number is none of those that DevicePolicy=closed leaves the agent: so it may only look.

    Every kernel has it (kmsg), and nothing of the machine goes by the node that is made here.
    """
    device, *_ = devices
    host.check_output("mknod -m 0600 /dev/fleet-vm c 1 11 && chown fleet-agent /dev/fleet-vm")
    page = service("page", images.v1, port=NODE_PORT, devices=[{"path": "/dev/fleet-vm"}])

    try:
        fleet.apply(deployment("node", page, on=fleet.label("node", device)))
        device.await_page(NODE_PORT, images.v1_says)
    finally:
        host.check_output("rm /dev/fleet-vm")


def test_setting_up_again_over_ssh_changes_nothing_and_touches_no_file(
    lab: Lab, machine: Machine, host: Any
):
    told: list[Outcome] = []
    before = _times(host)
    place, device = statuses.device_of(lab.name, machine.id)
    assert isinstance(device, VmDevice)

    with setup.log_in(place, device) as there:
        wanted = FleetDeviceSetupScore(seed.setup(device), told=told.append)
        outcome = wanted.interpret(LinuxHostTopology(there)).expect()

    assert outcome.change is Change.UNCHANGED, outcome.details
    assert {each.change for each in told} == {Change.UNCHANGED}
    assert _times(host) == before


def _open_ports(host: Any) -> set[int]:
    """Which TCP ports can be reached from outside."""
    lines = host.check_output("ss --tcp --listening --numeric --no-header").splitlines()
    addresses = [line.split()[3] for line in lines]
    return {int(each.rpartition(":")[2]) for each in addresses if not _is_loopback(each)}


def _is_loopback(address: str) -> bool:
    return address.startswith(("127.", "[::1]"))


def _times(host: Any) -> list[str]:
    """List every file that a set-up may have a say in, with when it was last written."""
    found = host.check_output(f"find {' '.join(MANAGED)} -xdev -type f -printf '%p %T@\\n'")
    return sorted(found.splitlines())
