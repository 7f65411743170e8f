"""
A connection that can't lie: however it breaks, it is noticed, left, and made anew.

On a real nats-server, broken for real: frozen, reset, half open, and a server that isn't one.
"""

import asyncio
import errno
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from structlog.testing import capture_logs

from fleet import errors
from fleet.bus import jetstream, nats, streams
from fleet.contracts import kv
from fleet.contracts.messages import DESIRED_STATE, ReconcileScore
from fleet.contracts.names import DeploymentName
from lab.soak.hub import certificates
from lab.soak.hub.certificates import Certificates
from tests import nats_server, signed_users
from tests.integration.bus import harness
from tests.integration.bus.harness import DEVICE, PACE, Nats
from tests.nats_stand_in import StandIn, info, stand_in
from tests.tcp_proxy import TcpProxy, tcp_proxy

VALUE = ReconcileScore(type="PodmanV0", data={"text": "x" * 100_000}, revision="1")
SMALL = ReconcileScore(type="PodmanV0", data={}, revision="1")
QUICK = replace(
    PACE,
    ping=timedelta(seconds=0.2),
    patience=timedelta(seconds=1),
    connect=timedelta(seconds=3),
)


def keys(number: int) -> list[str]:
    return [kv.desired_state_key(DEVICE, DeploymentName(f"d{n}")) for n in range(number)]


@pytest.fixture
async def bus(tmp_path: Path) -> AsyncIterator[Nats]:
    async with harness.nats_harness(tmp_path) as running:
        await running.make_buckets()
        yield running


@asynccontextmanager
async def proxied(bus: Nats) -> AsyncIterator[tuple[TcpProxy, nats.NatsBus]]:
    """Connect the operator through a link that can be broken."""
    with tcp_proxy(("127.0.0.1", bus.server.port)) as proxy:
        async with await harness.connect(
            bus.server, nats_server.OPERATOR, QUICK, through=proxy
        ) as other:
            yield proxy, other


async def put_all(bus: nats.NatsBus, number: int) -> list[object]:
    """Put many large values at once; return what became of each."""
    bucket = bus.bucket(DESIRED_STATE)
    return await asyncio.gather(
        *(bucket.put(key, VALUE) for key in keys(number)), return_exceptions=True
    )


async def later_session(bus: nats.NatsBus, after: int) -> int:
    async with asyncio.timeout(harness.PATIENCE):
        return await bus.wait_for_session(after)


async def test_a_server_that_freezes_under_load_is_left_and_come_back_to(bus: Nats):
    async with await harness.connect(bus.server, nats_server.OPERATOR, QUICK) as other:
        bus.server.pause()
        try:
            outcomes = await put_all(other, 60)
            assert all(isinstance(outcome, errors.BusUnavailable) for outcome in outcomes)
            await harness.until_disconnected(other)
        finally:
            bus.server.resume()
        assert await later_session(other, 1) > 1
        assert await other.bucket(DESIRED_STATE).put(keys(1)[0], SMALL)


async def test_each_reset_under_load_is_followed_by_a_session(bus: Nats):
    async with proxied(bus) as (proxy, other):
        for session in range(1, 6):
            putting = asyncio.create_task(put_all(other, 40))
            await asyncio.sleep(0)
            proxy.reset()
            assert await later_session(other, session) == session + 1
            await putting
            assert await other.bucket(DESIRED_STATE).put(keys(1)[0], SMALL)


async def test_a_half_open_connection_is_noticed_and_made_anew(bus: Nats):
    async with proxied(bus) as (proxy, other):
        with capture_logs() as logs:
            proxy.freeze()
            await harness.until_disconnected(other)
        assert "silent for 0.5 s" in logs[0]["error"]
        proxy.mend()
        assert await later_session(other, 1) > 1
        assert await other.bucket(DESIRED_STATE).put(keys(1)[0], SMALL)


async def test_a_call_takes_no_longer_than_the_patience_however_much_waits_to_be_sent(bus: Nats):
    patient = replace(QUICK, ping=timedelta(seconds=15))
    loop = asyncio.get_running_loop()
    async with await harness.connect(bus.server, nats_server.OPERATOR, patient) as other:
        bus.server.pause()
        try:
            since = loop.time()
            await put_all(other, 60)
            assert loop.time() - since < 2.5
            with pytest.raises(errors.BusUnavailable, match="within 1 s"):
                await other.bucket(DESIRED_STATE).put(keys(1)[0], SMALL)
            assert loop.time() - since < 5
        finally:
            bus.server.resume()


async def test_a_put_that_waits_to_be_sent_can_be_cancelled(bus: Nats):
    patient = replace(PACE, patience=timedelta(seconds=60))
    async with await harness.connect(bus.server, nats_server.OPERATOR, patient) as other:
        bus.server.pause()
        try:
            putting = asyncio.create_task(put_all(other, 60))
            await asyncio.sleep(0)
            putting.cancel()
            async with asyncio.timeout(2):
                with pytest.raises(asyncio.CancelledError):
                    await putting
        finally:
            bus.server.resume()


@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"INFO\r\n",
        b"INFO {\r\n",
        b"INFO []\r\n",
        b"INFO 5\r\n",
        b'INFO "text"\r\n',
        b"INFO " + b"[" * 50_000 + b"\r\n",
        b"INFO \xff\xfe\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"x" * 200_000,
        info(max_payload="much"),
        info(max_payload=-1),
        info(nonce=7),
        info(headers=False),
        info(tls_required="yes"),
    ],
    ids=lambda greeting: repr(greeting[:24]),
)
async def test_an_odd_greeting_is_told_and_another_server_is_taken(bus: Nats, greeting: bytes):
    """It ended the connection's task without a word, or waited without an end."""
    async with (
        stand_in(greeting=greeting) as odd,
        await connect_to(bus, odd) as other,
    ):
        assert await later_session(other, 0) == 1
        assert other.faults == 0
        assert all(b"CONNECT" not in seen for seen in odd.received)


async def connect_to(bus: Nats, first: StandIn) -> nats.NatsBus:
    """Connect with *first* to be tried before the real server."""
    return await nats.connect(
        f"{first.url},{bus.server.url}",
        credentials=bus.server.credentials(nats_server.OPERATOR),
        name="operator",
        pace=QUICK,
        chance=lambda: 0.0,
    )


@pytest.mark.parametrize(
    "verdict",
    [b"-ERR 'Authorization Violation'\r\n", b"-ERR\r\n", b"what?\r\n", b"x" * 200_000, b""],
    ids=lambda verdict: repr(verdict[:24]),
)
async def test_a_server_that_does_not_let_us_in_is_told_and_another_one_taken(
    bus: Nats, verdict: bytes
):
    async with stand_in(verdict=verdict) as odd, await connect_to(bus, odd) as other:
        async with asyncio.timeout(10):
            assert await other.wait_for_session() == 1
        assert other.faults == 0


@pytest.mark.parametrize("before", [b"PING\r\n", b"+OK\r\n", info()], ids=["ping", "ok", "info"])
async def test_a_server_may_say_something_before_it_lets_us_in(before: bytes):
    async with (
        stand_in(verdict=before + b"PONG\r\n") as server,
        await nats.connect(server.url, name="x", pace=QUICK) as other,
    ):
        assert await later_session(other, 0) == 1


@pytest.mark.parametrize(
    "garbage",
    [b"INFO {\r\n", b"-ERR \r\n", b"MSG a b c\r\n", b"what?\r\n", b"-ERR 'Slow Consumer'\r\n"],
    ids=repr,
)
async def test_a_task_of_the_library_that_dies_ends_the_session(garbage: bytes):
    """The bus said that it was connected, and heard nothing ever after."""
    patient = replace(QUICK, ping=timedelta(seconds=60))
    async with (
        stand_in(afterwards=garbage) as server,
        await nats.connect(server.url, name="x", pace=patient) as other,
    ):
        assert await later_session(other, 1) > 1


async def test_a_server_that_accepts_and_drops_is_tried_ever_more_rarely():
    pace = nats.Pace(first_retry=timedelta(seconds=0.2), longest_retry=timedelta(seconds=5))
    loop = asyncio.get_running_loop()
    async with stand_in(hangs_up=True) as server:
        since = loop.time()
        async with await nats.connect(server.url, name="x", pace=pace, chance=lambda: 0.0):
            await server.wait_for_connections(5)
            assert loop.time() - since > 0.2 + 0.4 + 0.8 + 1.6 - 0.1


def _empty(path: Path) -> None:
    path.write_text("")


def _cut(path: Path) -> None:
    content = path.read_text()
    path.write_text(content[: len(content) // 2])


def _seed_without_jwt(path: Path) -> None:
    seed = "SU" + "A" * 56
    path.write_text(f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")


def _endless(path: Path) -> None:
    path.write_text("x\n" * 100_000)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("spoil", [_empty, _cut, _seed_without_jwt, _endless, Path.unlink])
@pytest.mark.parametrize("which", ["ca", "credentials"])
async def test_a_file_that_is_spoiled_while_connected_is_told_until_it_is_whole_again(
    tmp_path: Path, which: str, spoil: Callable[[Path], None]
):
    made = certificates.make(tmp_path / "tls")
    user = nats_server.ADMIN
    with nats_server.running_nats(tmp_path, [user], tls=made) as server:
        files = {"ca": made.authority, "credentials": server.credentials(user)}
        async with await nats.connect(
            server.url.replace("nats:", "tls:"),
            credentials=files["credentials"],
            ca=files["ca"],
            name="x",
            pace=QUICK,
        ) as other:
            assert await later_session(other, 0) == 1
            whole = files[which].read_bytes()
            with capture_logs() as logs:
                spoil(files[which])
                server.kill()
                server.start()

                async def is_told() -> bool:
                    failed = [log for log in logs if log["event"] == "nats connection failed"]
                    return sum(files[which].name in log["error"] for log in failed) > 1

                await harness.until("what is wrong with the file is told", is_told)
            assert not other.connected
            files[which].write_bytes(whole)
            assert await later_session(other, 1) == 2
            assert other.faults == 0, logs


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_a_server_that_does_not_speak_tls_gets_no_byte_of_a_credential(
    tmp_path: Path, scheme: str
):
    """The password went there in clear."""
    credentials = tmp_path / "user.json"
    credentials.write_text('{"user": "device", "password": "secret"}')
    authority = certificates.make(tmp_path).authority
    async with stand_in() as server:
        url = server.url.replace("nats", scheme)
        async with await nats.connect(
            url, credentials=credentials, ca=authority, name="x", pace=QUICK
        ) as other:
            await server.wait_for_connections(3)
            assert not other.connected
    assert set(map(bytes, server.received)) == {b""}


async def test_tls_without_an_authority_of_ours_is_asked_for_as_well():
    async with stand_in() as server:
        url = server.url.replace("nats", "tls")
        async with await nats.connect(url, name="x", pace=QUICK):
            await server.wait_for_connections(2)
    assert set(map(bytes, server.received)) == {b""}


@pytest.mark.parametrize("offer", ["tls_required", "tls_available"])
async def test_what_is_said_in_clear_before_the_handshake_is_never_taken_for_the_servers_word(
    tmp_path: Path, offer: str
):
    """It speaks TLS as far as anybody can tell, lets us in in clear, and has no key."""
    authority = certificates.make(tmp_path).authority
    async with (
        stand_in(greeting=info(**{offer: True}) + b"PONG\r\n") as server,
        await nats.connect(server.url, ca=authority, name="x", pace=QUICK) as other,
    ):
        await server.wait_for_connections(2)
        assert not other.connected
    assert all(b"CONNECT" not in seen for seen in server.received)


@pytest.fixture
def certified(tmp_path: Path) -> Certificates:
    return certificates.make(tmp_path / "tls")


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_a_server_that_proves_to_be_itself_is_told_who_we_are(
    tmp_path: Path, certified: Certificates, scheme: str
):
    user = nats_server.ADMIN
    with nats_server.running_nats(tmp_path, [user], tls=certified) as server:
        async with await nats.connect(
            server.url.replace("nats", scheme),
            credentials=server.credentials(user),
            ca=certified.authority,
            name="x",
            pace=QUICK,
        ) as other:
            assert await later_session(other, 0) == 1
    gc.collect()  # a socket left open would warn here, and warnings are errors


async def test_a_signed_user_is_let_in_and_a_file_cut_off_meanwhile_is_told(tmp_path: Path):
    made = signed_users.make(tmp_path)
    whole = made.credentials.read_text()
    with nats_server.running_nats(tmp_path, more=made.configuration) as server:
        async with await nats.connect(
            server.url, credentials=made.credentials, name="x", pace=QUICK
        ) as other:
            assert await later_session(other, 0) == 1
            await streams.ensure_streams(other)
            with capture_logs() as logs:
                made.credentials.write_text(whole[: whole.index("\nSU") + 10])
                server.kill()
                server.start()

                async def is_told() -> bool:
                    return any("seed" in log.get("error", "") for log in logs)

                await harness.until("what is wrong with the file is told", is_told)
            made.credentials.write_text(whole)
            assert await later_session(other, 1) == 2
            assert await other.bucket(DESIRED_STATE).put(keys(1)[0], SMALL)


async def test_a_server_that_another_authority_vouches_for_is_not(
    tmp_path: Path, certified: Certificates
):
    others = certificates.make(tmp_path / "others")
    with nats_server.running_nats(tmp_path, tls=certified) as server, capture_logs() as logs:
        async with await nats.connect(server.url, ca=others.authority, name="x", pace=QUICK) as bus:

            async def is_told() -> bool:
                return any("CERTIFICATE_VERIFY_FAILED" in log.get("error", "") for log in logs)

            await harness.until("the certificate is refused", is_told)
            assert not bus.connected
    gc.collect()


async def test_a_server_of_another_address_is_not(tmp_path: Path):
    made = certificates.make(tmp_path / "tls", address="192.0.2.1")
    with nats_server.running_nats(tmp_path, tls=made) as server, capture_logs() as logs:
        async with await nats.connect(server.url, ca=made.authority, name="x", pace=QUICK) as bus:

            async def is_told() -> bool:
                return any("IP address mismatch" in log.get("error", "") for log in logs)

            await harness.until("the address is refused", is_told)
            assert not bus.connected


async def test_an_error_that_nobody_thought_of_is_logged_counted_and_tried_again(tmp_path: Path):
    stray = asyncio.CancelledError("nobody asked for it")
    failures = iter([stray, ZeroDivisionError("nobody thought of it"), ValueError("nor of this")])

    def chance() -> float:
        if error := next(failures, None):
            raise error
        return 0.0

    with nats_server.running_nats(tmp_path) as server, capture_logs() as logs:
        async with await nats.connect(server.url, name="x", pace=QUICK, chance=chance) as other:
            assert await later_session(other, 0) == 1
            assert other.faults == 3
    told = [log for log in logs if log["event"] == "nats connection fault"]
    assert all(log["log_level"] == "error" and log["exc_info"] for log in told)


async def test_a_log_that_takes_nothing_ends_no_connection(tmp_path: Path):
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "no space left on device")

    with nats_server.running_nats(tmp_path) as server:
        server.kill()
        structlog.configure(processors=[refuse])
        async with await nats.connect(server.url, name="x", pace=QUICK) as other:

            async def is_refused() -> bool:
                return other.faults > 0

            await harness.until("something could not be told", is_refused)
            structlog.reset_defaults()
            server.start()
            assert await later_session(other, 0) == 1


async def test_a_listener_that_fails_is_told_and_ends_nothing(tmp_path: Path):
    def listen(connected: bool) -> None:
        raise ZeroDivisionError

    with nats_server.running_nats(tmp_path) as server, capture_logs() as logs:
        async with await nats.connect(server.url, name="x", pace=QUICK, on_change=listen) as other:
            assert await later_session(other, 0) == 1
            server.kill()
            await harness.until_disconnected(other)
            server.start()
            assert await later_session(other, 1) == 2
    assert {log["event"] for log in logs} >= {"nats listener fault"}


async def test_a_call_without_an_answer_names_the_subject_and_the_time(bus: Nats):
    patient = replace(QUICK, ping=timedelta(seconds=15))
    async with await harness.connect(bus.server, nats_server.OPERATOR, patient) as other:
        subject = jetstream.stream_subject("INFO", kv.BUCKET_DEVICE_INFO)
        bus.server.pause()
        try:
            with pytest.raises(errors.BusUnavailable, match=r"STREAM\.INFO.* within 1 s"):
                await other.ask(subject)
        finally:
            bus.server.resume()


async def test_each_kind_of_failure_is_told_once(tmp_path: Path):
    """The server isn't there; then the file of credentials isn't either."""
    credentials = tmp_path / "user.json"
    credentials.write_text('{"user": "device", "password": "secret"}')
    with capture_logs() as logs:
        async with await nats.connect(
            "nats://127.0.0.1:1", credentials=credentials, name="x", pace=QUICK
        ):

            def told(level: str, text: str) -> int:
                return sum(log["log_level"] == level and text in log["error"] for log in logs)

            async def is_refused() -> bool:
                return told("debug", "Connect call failed") > 1

            await harness.until("it was refused again and again", is_refused)
            credentials.unlink()

            async def is_missing() -> bool:
                return told("debug", "user.json") > 1

            await harness.until("the file was missed again and again", is_missing)
    assert told("warning", "Connect call failed") == told("warning", "user.json") == 1
