"""The broker as a process: users with their rights, reloads without restarts, repairs."""

import json
import socket

import nats
import pytest

from fleet.contracts import permissions
from fleet.contracts.names import DeviceId
from fleet.scores.score import Change
from lab.errors import LabError
from lab.host.lab_host import LabHost
from lab.services.broker import stage
from lab.services.broker.process import PART
from lab.services.broker.stage import ADMIN, Broker, BrokerScore
from tests.lab_host import LOOPBACK, bring_about, kill, lab_host, mode, needs, running
from tests.waiting import eventually

pytestmark = [pytest.mark.timeout(90), needs(PART)]

ONE, TWO = DeviceId("dev-01"), DeviceId("dev-02")


@pytest.fixture
def host(tmp_path):
    """A host per test: they differ in what they do to the server."""
    with lab_host(tmp_path) as host:
        yield host


def _up(host: LabHost, *devices: DeviceId) -> Broker:
    broker = stage.broker(host, devices, LOOPBACK)
    bring_about(stage.scores(broker), host)
    return broker


async def _connect(broker, path, **options):
    identity = json.loads(path.read_text())
    return await nats.connect(
        broker.url,
        user=identity["user"],
        password=identity["password"],
        allow_reconnect=False,
        connect_timeout=5,
        **options,
    )


def test_a_second_time_changes_nothing(host):
    _up(host, ONE)
    pid = running(host, PART)
    assert bring_about(stage.scores(stage.broker(host, [ONE], LOOPBACK)), host) == []
    assert running(host, PART) == pid


def test_passwords_stand_in_their_own_closed_files_only(host):
    broker = _up(host, ONE)
    config = (broker.directory / "nats.conf").read_text()
    for user in broker.users:
        password = json.loads(user.credentials.read_text())["password"]
        assert mode(user.credentials) == 0o600
        assert password not in config
    assert mode(broker.directory / "nats.conf") == 0o600
    assert mode(broker.directory) == 0o700


async def test_the_administrator_may_do_everything(host):
    broker = _up(host)
    client = await _connect(broker, broker.credentials(ADMIN))
    stream = await client.jetstream().add_stream(name="S", subjects=["s.>"])
    assert stream.config.name == "S"
    await client.close()


async def test_a_device_may_publish_its_own_keys_and_no_others(host):
    broker = _up(host, ONE, TWO)
    complaints: list[Exception] = []

    async def complain(error: Exception) -> None:
        complaints.append(error)

    client = await _connect(
        broker,
        broker.device(ONE),
        inbox_prefix=permissions.inbox_prefix(ONE).encode(),
        error_cb=complain,
    )
    await client.publish("$KV.device-info.info.dev-01", b"{}")
    await client.flush()
    assert complaints == []
    await client.publish("$KV.device-info.info.dev-02", b"{}")
    await client.flush()

    async def refused() -> bool:
        return bool(complaints)

    await eventually(refused, "the server refuses the other device's key")
    assert ["permissions violation" in str(complaint) for complaint in complaints] == [True]
    await client.close()


async def test_a_new_device_comes_by_a_reload_that_breaks_no_connection(host):
    broker = _up(host, ONE)
    pid = running(host, PART)
    client = await _connect(broker, broker.device(ONE), inbox_prefix=b"_INBOX_dev-01")
    broker = _up(host, ONE, TWO)
    assert running(host, PART) == pid
    await client.flush()  # still connected
    newcomer = await _connect(broker, broker.device(TWO), inbox_prefix=b"_INBOX_dev-02")
    await newcomer.close()
    await client.close()


def test_a_device_that_left_is_let_in_no_more(host):
    broker = _up(host, ONE, TWO)
    kept = broker.device(TWO).read_text()
    assert _greeting(broker, kept) == "PONG"
    broker = _up(host, ONE)
    assert not broker.device(TWO).exists()
    assert _greeting(broker, kept) == "-ERR 'Authorization Violation'"


def _greeting(broker: Broker, credentials: str) -> str:
    """Connect by hand (a refused client of the library leaks its socket), and return the answer."""
    identity = json.loads(credentials)
    options = {"user": identity["user"], "pass": identity["password"], "verbose": False}
    with socket.create_connection((broker.address, broker.port), timeout=5) as sock:
        answers = sock.makefile("r")
        assert answers.readline().startswith("INFO")
        sock.sendall(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        with answers:
            return answers.readline().strip()


async def test_a_killed_server_is_repaired_with_its_streams(host):
    broker = _up(host, ONE)
    client = await _connect(broker, broker.credentials(ADMIN))
    await client.jetstream().add_stream(name="S", subjects=["s.>"])
    await client.jetstream().publish("s.one", b"kept")
    await client.close()
    kill(host, PART)

    assert stage.broker(host, [ONE], LOOPBACK) == broker
    assert BrokerScore(broker).interpret(host).expect().change is Change.CHANGED

    client = await _connect(broker, broker.credentials(ADMIN))
    assert (await client.jetstream().stream_info("S")).state.messages == 1
    await client.close()
    assert BrokerScore(broker).interpret(host).change is Change.UNCHANGED


def test_lost_credentials_are_made_anew_and_loaded(host):
    broker = _up(host, ONE)
    pid = running(host, PART)
    broker.device(ONE).unlink()
    outcome = BrokerScore(broker).interpret(host).expect()
    assert outcome.details == ("dev-01 has no credentials",)
    assert running(host, PART) == pid
    assert BrokerScore(broker).interpret(host).change is Change.UNCHANGED


def test_a_file_that_the_server_has_not_loaded_yet_is_a_difference(host):
    """As after `kill -9` between writing the file and the reload."""
    broker = _up(host, ONE)
    wider = stage.broker(host, [ONE, TWO], LOOPBACK)
    config = broker.directory / "nats.conf"
    before = config.read_text()
    bring_about(stage.scores(wider), host)
    after = config.read_text()
    bring_about(stage.scores(broker), host)
    wider.device(TWO).write_text("")  # made anew below
    assert before != after
    config.write_text(after)
    assert BrokerScore(broker).interpret(host).expect().change is Change.CHANGED
    assert BrokerScore(broker).interpret(host).change is Change.UNCHANGED


def test_a_port_that_somebody_else_holds_is_told(host):
    with lab_host(host.state / "other") as other:
        held = _up(other)
        broker = stage.broker(host, [ONE], LOOPBACK)
        taken = Broker(broker.directory, LOOPBACK, held.port, broker.monitor_port)
        outcome = BrokerScore(taken).interpret(host)
    assert isinstance(outcome.error, LabError)
    assert "address already in use" in str(outcome.error)
