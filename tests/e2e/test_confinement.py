"""What a device's credentials allow, tried on the lab's real server: its own keys only."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest
from nats.aio.client import Client

from tests.using_lab.labs import Status

WITHIN = 5


async def test_a_device_reads_its_own_keys(status: Status):
    async with _connected(status, "dev-01") as (client, refusals):
        subject = "$JS.API.DIRECT.GET.KV_desired-state.$KV.desired-state.dev-01.nothing"
        answer = await client.request(subject, b"", timeout=WITHIN)

    assert answer.headers
    assert answer.headers["Status"] == "404"
    assert refusals.empty()


@pytest.mark.parametrize(
    "subject",
    [
        pytest.param("$KV.device-state.state.dev-02.kiosk", id="another's state"),
        pytest.param("$KV.device-info.info.dev-02", id="another's info"),
        pytest.param("$KV.device-heartbeat.heartbeat.dev-02", id="another's heartbeat"),
        pytest.param("$KV.desired-state.dev-01.kiosk", id="what is wanted of itself"),
        pytest.param("$JS.API.STREAM.PURGE.KV_desired-state", id="purge"),
        pytest.param("$JS.API.STREAM.DELETE.KV_desired-state", id="delete a bucket"),
        pytest.param("$JS.API.STREAM.INFO.KV_desired-state", id="list keys"),
        pytest.param(
            "$JS.API.DIRECT.GET.KV_desired-state.$KV.desired-state.dev-02.kiosk",
            id="read what is wanted of another",
        ),
    ],
)
async def test_a_device_may_not_publish(subject: str, status: Status):
    async with _connected(status, "dev-01") as (client, refusals):
        await client.publish(subject, b"{}")
        refusal = await asyncio.wait_for(refusals.get(), WITHIN)

    assert "permissions violation for publish" in refusal.lower()


@pytest.mark.parametrize("subject", ["$KV.>", "_INBOX_dev-02.>", "_INBOX.>", ">"])
async def test_a_device_may_not_listen_to(subject: str, status: Status):
    async with _connected(status, "dev-01") as (client, refusals):
        await client.subscribe(subject)
        refusal = await asyncio.wait_for(refusals.get(), WITHIN)

    assert "permissions violation for subscription" in refusal.lower()


def test_nobody_connects_without_credentials(status: Status):
    # Spoken by hand: nats-py leaves the socket of a refused connection open.
    server = urlsplit(status["nats"]["url"])
    with socket.create_connection((server.hostname, server.port), WITHIN) as connection:
        connection.sendall(b"CONNECT {}\r\nPING\r\n")
        lines = connection.makefile("rb")
        answers = [lines.readline() for _ in ("INFO", "-ERR")]

    assert b"Authorization Violation" in answers[1]


@contextlib.asynccontextmanager
async def _connected(
    status: Status, device: str
) -> AsyncIterator[tuple[Client, asyncio.Queue[str]]]:
    """Connect as *device*; what the server refuses ends up in the queue."""
    refusals: asyncio.Queue[str] = asyncio.Queue()

    async def refused(error: Exception) -> None:
        refusals.put_nowait(str(error))

    client = await nats.connect(
        status["nats"]["url"],
        **_credentials(status, device),
        inbox_prefix=f"_INBOX_{device}",
        error_cb=refused,
        allow_reconnect=False,
    )
    try:
        yield client, refusals
    finally:
        await client.close()


def _credentials(status: Status, device: str) -> dict[str, str]:
    path = next(each["credentials"] for each in status["devices"] if each["id"] == device)
    return dict(json.loads(Path(path).read_text()))
