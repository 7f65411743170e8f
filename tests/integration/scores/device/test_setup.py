"""From a bare machine to a device, with a machine's real programs on files of the test's own."""

import pytest
from msgspec import structs

from fleet import errors
from fleet.scores.device.configuration import Hub, RegistryLogin, Secret
from fleet.scores.device.setup import FleetDeviceSetupScore
from fleet.scores.linux.machine import run
from fleet.scores.linux.topology import LinuxHostTopology
from fleet.scores.score import Change, Outcome
from tests.integration.scores.device.sandbox import sandbox
from tests.integration.scores.device.systemd import AGENT, Systemd
from tests.unit.scores.device.making import CONFIG, CREDENTIALS

STEPS = 24  # of the configuration below
WRITTEN = ("/etc", "/opt/fleet-agent", "/usr/local/bin", "/var/lib/fleet-podman", "/home",
           "/var/lib/systemd/linger", "/run/fleet-unread")  # fmt: skip
# What `shadow` keeps as a copy, and how it hashes: the same password never twice the same.
_PASSING = ("-name", "*-", "-prune", "-o", "-name", "shadow", "-prune", "-o")


class Killed(BaseException):
    """We were ended."""


@pytest.fixture
def systemd(machine):
    return Systemd(machine)


@pytest.fixture(scope="module")
def config(bundle):
    # What is installed on this host isn't the subject.
    return structs.replace(CONFIG, bundle=bundle, packages=False)


def set_up(systemd, config, **how):
    return FleetDeviceSetupScore(config, **how).interpret(LinuxHostTopology(systemd.machine))


def world(systemd):
    """Say all that a set-up may have done, but for times."""
    machine = systemd.machine
    listed = ("find", *WRITTEN, *_PASSING)
    entries = machine.ask(*listed, "-printf", "%p %y %m %u:%g %l\n").text.splitlines()
    changed = (*listed, "-type", "f", "-newerct", f"@{machine.since}")
    digests = machine.ask(*changed, "-exec", "sha256sum", "{}", "+").text.splitlines()
    units = {
        name: (unit.file, unit.active, unit.environment) for name, unit in systemd.units.items()
    }
    return sorted(entries), sorted(digests), units, str(systemd.of_users)


def times(systemd):
    listed = ("find", *WRITTEN, "-printf", "%p %T@ %C@\n")
    return sorted(systemd.machine.ask(*listed).text.splitlines())


@pytest.fixture
def undisturbed(systemd, config):
    """What comes of a set-up that nobody ends."""
    set_up(systemd, config).expect()
    return world(systemd)


@pytest.fixture(scope="module")
def elsewhere(config, tmp_path_factory):
    """The same, on a machine beside."""
    with sandbox(tmp_path_factory.mktemp("elsewhere")) as machine:
        systemd = Systemd(machine)
        set_up(systemd, config).expect()
        return world(systemd)


def test_a_bare_machine_becomes_a_device(systemd, config):
    heard: list[Outcome] = []
    outcome = set_up(systemd, config, told=heard.append).expect()
    assert outcome.score == "FleetDeviceSetup"
    assert outcome.change is Change.CHANGED
    assert len(heard) == STEPS
    assert heard[-1].score == AGENT
    assert systemd.units[AGENT].active == "active"
    assert systemd.units[AGENT].file == "enabled"
    assert systemd.units[AGENT].starts == 1
    uid = run(systemd.machine, "id", "-u", "fleet-agent").strip()
    assert systemd.of_users[uid]["podman.socket"].active == "active"


@pytest.mark.parametrize(
    ("path", "access"),
    [
        ("/etc/fleet-agent", "750 root:fleet-agent"),
        ("/etc/fleet-agent/config.toml", "640 root:fleet-agent"),
        ("/etc/fleet-agent/credentials.json", "600 fleet-agent:fleet-agent"),
        ("/usr/local/bin/fleet-agent", "755 root:root"),
        ("/var/lib/fleet-podman", "700 fleet-agent:fleet-agent"),
        ("/home/fleet-admin/.ssh", "700 fleet-admin:fleet-admin"),
        ("/home/fleet-admin/.ssh/authorized_keys", "600 fleet-admin:fleet-admin"),
        ("/etc/sudoers.d/50-fleet", "440 root:root"),
    ],
)
def test_each_file_is_open_to_those_who_need_it(systemd, undisturbed, path, access):
    assert run(systemd.machine, "stat", "--format=%a %U:%G", path).strip() == access


def test_the_agent_takes_its_configuration(systemd, undisturbed):
    said = run(systemd.machine, "/usr/local/bin/fleet-agent", "check-config")
    assert said == "/etc/fleet-agent/config.toml: ok\n"
    assert run(systemd.machine, "cat", "/etc/fleet-agent/credentials.json") == CREDENTIALS


def test_a_second_run_changes_nothing_and_touches_no_file(systemd, config, undisturbed):
    before, started = times(systemd), systemd.units[AGENT].starts
    heard: list[Outcome] = []
    assert set_up(systemd, config, told=heard.append).change is Change.UNCHANGED
    assert {outcome.change for outcome in heard} == {Change.UNCHANGED}
    assert times(systemd) == before
    assert systemd.units[AGENT].starts == started
    assert world(systemd) == undisturbed


def test_a_dry_run_tells_everything_and_does_nothing(systemd, config):
    before = times(systemd)
    score = FleetDeviceSetupScore(config)
    outcome = score.interpret(LinuxHostTopology(systemd.machine), dry_run=True)
    assert outcome.change is Change.CHANGED
    assert "user fleet-agent: there is no user fleet-agent" in outcome.details
    assert times(systemd) == before
    assert outcome.details == score.differences(LinuxHostTopology(systemd.machine))


@pytest.mark.parametrize("step", range(STEPS))
def test_one_who_is_ended_after_any_step_goes_on_and_ends_the_same(
    systemd, config, step, elsewhere
):
    heard = []

    def told(outcome):
        heard.append(outcome)
        if len(heard) == step + 1:
            raise Killed

    with pytest.raises(Killed):
        set_up(systemd, config, told=told)
    set_up(systemd, config).expect()
    assert world(systemd) == elsewhere
    assert set_up(systemd, config).change is Change.UNCHANGED


def test_another_setting_restarts_the_agent_once(systemd, config, undisturbed):
    hub = Hub(url="nats://elsewhere:4222", credentials=config.hub.credentials)
    outcome = set_up(systemd, structs.replace(config, hub=hub)).expect()
    assert f"{AGENT}: {AGENT} runs with what was configured before" in outcome.details
    assert systemd.units[AGENT].starts == 2
    assert set_up(systemd, structs.replace(config, hub=hub)).change is Change.UNCHANGED


def test_an_agent_that_runs_with_older_settings_is_restarted_whoever_wrote_the_newer(
    systemd, config, undisturbed
):
    systemd.units[AGENT].environment = "FLEET_SETUP=older"
    set_up(systemd, config).expect()
    assert systemd.units[AGENT].starts == 2


def test_an_agent_that_does_not_start_fails_with_its_last_words(systemd, config):
    systemd.agent_breaks = True
    outcome = set_up(systemd, config)
    assert isinstance(outcome.error, errors.CommandFailed)
    assert "its journal ends with:\nits last words" in str(outcome.error)
    systemd.agent_breaks = False
    assert set_up(systemd, config).change is Change.CHANGED


def test_a_service_that_was_not_told_of_its_settings_is_told_next_time(systemd, config):
    def told(outcome):
        if outcome.score == "sudo rules 50-fleet":
            run(systemd.machine, "mkdir", "--parents", "/run/fleet-unread")
            run(systemd.machine, "touch", "/run/fleet-unread/ssh.service")

    set_up(systemd, config).expect()
    reads = systemd.units["ssh.service"].starts
    set_up(systemd, config, told=told).expect()
    assert systemd.units["ssh.service"].starts == reads + 1


def test_registries_and_other_credentials_leave_no_secret_open(systemd, config):
    login = RegistryLogin(username="fleet", password=Secret("s3cret-0f-registry"))
    set_up(systemd, structs.replace(config, registries={"registry.example/team": login})).expect()
    found = run(
        systemd.machine,
        "grep",
        "-rl",
        "s3cret-0f-registry",
        "/etc",
        "/opt/fleet-agent",
        "/var/lib/fleet-podman",
    )
    (path,) = found.split()
    access = run(systemd.machine, "stat", "--format=%a %U", path).strip()
    assert access == "600 fleet-agent"
    said = run(systemd.machine, "/usr/local/bin/fleet-agent", "check-config")
    assert said.endswith(": ok\n")
