"""nats-py's client, without its detours: what is sent, and how headers are read."""

import asyncio

import nats.errors
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nats.aio.client import Client

from fleet.bus.client import Arrived, DirectClient, read_headers

BEAT = b"NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 7\r\nNats-Last-Stream: 9\r\n\r\n"


class Sent:
    """The part of a transport that is written to; keeps each write."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writelines(self, payload: list[bytes]) -> None:
        self.writes.append(b"".join(payload))


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def client(sent: Sent) -> DirectClient:
    made = DirectClient()
    made._transport = sent  # type: ignore[assignment]
    made._status = Client.CONNECTED
    return made


async def test_what_is_posted_in_one_turn_is_sent_at_once_and_in_order(
    client: DirectClient, sent: Sent
):
    client.listen("answers.*", print)
    client.post("a.b", b"12", reply="answers.1")
    client.post("a.c", b"3", headers={"Nats-TTL": "7s"})
    assert sent.writes == []
    await asyncio.sleep(0)
    commands = (
        b"SUB answers.*  1\r\n",
        b"PUB a.b answers.1 2\r\n12\r\n",
        b"HPUB a.c  26 27\r\nNATS/1.0\r\nNats-TTL: 7s\r\n\r\n3\r\n",
    )
    assert sent.writes == [b"".join(commands)]


async def test_what_is_posted_in_another_turn_is_sent_as_well(client: DirectClient, sent: Sent):
    client.post("a", b"1")
    await asyncio.sleep(0)
    client.post("a", b"2")
    await asyncio.sleep(0)
    assert sent.writes == [b"PUB a  1\r\n1\r\n", b"PUB a  1\r\n2\r\n"]


async def test_what_nats_py_is_about_to_send_comes_first(client: DirectClient, sent: Sent):
    await client._send_command(b"PING\r\n")
    client.post("a", b"1")
    await asyncio.sleep(0)
    assert sent.writes == [b"PING\r\nPUB a  1\r\n1\r\n"]


@pytest.mark.parametrize("subject", ["", "a b", "a\r\nPUB b 0", "a\tb"])
async def test_a_subject_that_is_no_one_word_is_refused(
    client: DirectClient, sent: Sent, subject: str
):
    """More would be read as another command."""
    with pytest.raises(nats.errors.BadSubjectError):
        client.post(subject, b"")
    with pytest.raises(nats.errors.BadSubjectError):
        client.listen(subject, print)
    await asyncio.sleep(0)
    assert sent.writes == []


async def test_a_closed_connection_takes_nothing(client: DirectClient):
    client._status = Client.CLOSED
    with pytest.raises(nats.errors.ConnectionClosedError):
        client.post("a", b"")
    with pytest.raises(nats.errors.ConnectionClosedError):
        client.listen("a", print)


async def test_what_arrives_goes_to_its_handler_until_nobody_listens(
    client: DirectClient, sent: Sent
):
    one: list[Arrived] = []
    other: list[Arrived] = []
    client.listen("one", one.append)
    number = client.listen("other", other.append)
    await client._ps.parse(b"MSG one 1 3\r\nabc\r\n")
    await client._ps.parse(b"HMSG other 2 r %d %d\r\n%s\r\n" % (len(BEAT), len(BEAT), BEAT))
    assert one == [Arrived("one", "", b"abc")]
    assert other == [Arrived("other", "r", b"", BEAT)]
    client.stop_listening(number)
    client.stop_listening(number)
    await client._ps.parse(b"MSG other 2 0\r\n\r\nMSG one 1 0\r\n\r\n")
    assert (len(one), len(other)) == (2, 1)
    await asyncio.sleep(0)
    assert sent.writes[-1].endswith(b"UNSUB 2 \r\n")


async def test_a_subject_may_be_any_bytes(client: DirectClient):
    found: list[Arrived] = []
    client.listen(">", found.append)
    await client._ps.parse(b"MSG a.\xff 1 \xfe 0\r\n\r\n")
    assert found == [Arrived("a.\N{REPLACEMENT CHARACTER}", "\N{REPLACEMENT CHARACTER}", b"")]


@pytest.mark.parametrize("byte", [n for n in range(256) if bytes([n]) not in b" \t\r\n"])
async def test_a_byte_that_is_no_space_to_the_server_is_none_to_us(client: DirectClient, byte: int):
    found: list[Arrived] = []
    client.listen(">", found.append)
    word = b"a" + bytes([byte]) + b"b"
    await client._ps.parse(b"MSG %s 1 0\r\n\r\n" % word)
    await client._ps.parse(b"MSG %s 1 %s 0\r\n\r\n" % (word, word))
    await client._ps.parse(b"HMSG %s 1 %s 12 12\r\nNATS/1.0\r\n\r\n\r\n" % (word, word))
    text = word.decode(errors="replace")
    assert [arrived.subject for arrived in found] == [text] * 3
    assert [arrived.reply for arrived in found] == ["", text, text]


def test_a_message_without_headers_has_none():
    assert Arrived("a", "", b"").headers == {}


@pytest.mark.parametrize(
    ("block", "headers"),
    [
        (b"NATS/1.0 503\r\n\r\n", {"Status": "503"}),
        (b"NATS/1.0 404 No Messages\r\n\r\n", {"Status": "404", "Description": "No Messages"}),
        (
            BEAT,
            {
                "Status": "100",
                "Description": "Idle Heartbeat",
                "Nats-Last-Consumer": "7",
                "Nats-Last-Stream": "9",
            },
        ),
        (b"NATS/1.0\r\nKV-Operation:DEL\r\nb: c: d\r\n\r\n", {"KV-Operation": "DEL", "b": "c: d"}),
        (b"NATS/1.0\r\nno header\r\na: 1\r\na: 2\r\n\r\n", {"a": "2"}),
        (b"NATS/1.0\r\na: \xff\r\n\r\n", {"a": "\N{REPLACEMENT CHARACTER}"}),
    ],
)
async def test_headers_are_read_as_nats_py_reads_them(block: bytes, headers: dict[str, str]):
    assert read_headers(block) == headers
    assert await Client()._process_headers(block) == headers


@given(st.binary())
@example(b"")
@example(b"NATS/1.0 x\r\n")
@example(b"NATS/1.0\r\n: \r\n:\r\n")
def test_whatever_a_block_holds_it_can_be_read(block: bytes):
    read_headers(block)
