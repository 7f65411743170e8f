"""The buckets, read with the administrator's credentials: what is really left in NATS."""

import asyncio
import json
from pathlib import Path

import nats
from nats.js.errors import NoKeysError

from tests.using_lab.labs import Status


def keys(status: Status, bucket: str) -> set[str]:
    """List the keys of *bucket* that have a value."""
    return asyncio.run(_keys(status, bucket))


async def _keys(status: Status, bucket: str) -> set[str]:
    credentials = json.loads(_read(status["nats"]["credentials"]["admin"]))
    client = await nats.connect(status["nats"]["url"], **credentials, allow_reconnect=False)
    try:
        store = await client.jetstream().key_value(bucket)
        return set(await store.keys())
    except NoKeysError:
        return set()
    finally:
        await client.close()


def _read(path: str) -> str:
    return Path(path).read_text()
