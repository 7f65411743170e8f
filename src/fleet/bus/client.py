"""
nats-py's client, where a subject is any bytes: NATS itself allows them.

nats-py 2.16 decodes each subject strictly as UTF-8, in the task that reads the connection,
and ends the connection where that fails. Whoever may write one key with a wildcard, as each
device may, would so end every session of all that watch its bucket.
"""

from typing import Any

from nats.aio.client import Client


class AnySubject(Client):
    """A client that shows what is no UTF-8 in a subject as replacement characters."""

    def _build_message(self, sid: int, subject: bytes, *rest: Any) -> Any:
        readable = subject.decode(errors="replace").encode()
        return super()._build_message(sid, readable, *rest)
