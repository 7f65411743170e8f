"""
nats-py's client, without its detours on the way of each message.

* **Out**: what is posted is sent once the event loop has done its turn, all of it at once. nats-py
  wakes a task for it, and keeps a future for whoever would wait.
* **In**: what arrives goes from nats-py's parser to its handler. nats-py puts it in a queue, from
  which a task of each subscription takes it.
* **Subjects** are any bytes: NATS itself allows them. nats-py 2.16 decodes each strictly as
  UTF-8, in the task that reads the connection, and ends the connection where that fails; so it
  does where a byte is white space to Python (vertical tab, form feed) and none to NATS. Whoever
  may write one key with a wildcard, as each device may, would so end every session of all that
  watch its bucket.

The way in and out are those of decision 12, which says what they save.
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import nats.errors
from nats.aio.client import Client
from nats.protocol import command, parser

_VERSION: Final = "NATS/1.0"
_STATUS_LENGTH: Final = 3
# nats-py's own split words at whatever Python takes for white space, such as a vertical tab. The
# server doesn't, so what somebody wrote to such a subject ended each connection that it came to.
_WORD: Final = rb"[ \t]+([^ \t\r\n]+)"
parser.MSG_RE = re.compile(rb"\AMSG" + 2 * _WORD + rb"[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)\r\n")
parser.HMSG_RE = re.compile(
    rb"\AHMSG" + 2 * _WORD + rb"[ \t]+(([^ \t\r\n]+)[ \t]+)?(\d+)[ \t]+(\d+)\r\n"
)
_BREAKS_THE_LINE: Final = re.compile(r"[ \t\r\n]")


class Arrived(NamedTuple):
    """One message as it came; *block* holds its headers, unread, and is empty without any."""

    subject: str
    reply: str
    data: bytes
    block: bytes = b""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, and what the server says in its first line as `Status` and `Description`."""
        return read_headers(self.block) if self.block else {}


Handler = Callable[[Arrived], None]


class DirectClient(Client):
    """A client that posts and hands over at once; made, connected and closed like nats-py's."""

    def __init__(self) -> None:
        super().__init__()
        self._handlers: dict[int, Handler] = {}
        self._sends_soon = False

    def post(
        self,
        subject: str,
        data: bytes,
        *,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """
        Publish. *headers* aren't checked: they hold no line break.

        :raises nats.errors.BadSubjectError: *subject* isn't one word.
        :raises nats.errors.ConnectionClosedError: it is.
        """
        _check(subject)
        if headers:
            self._post(command.hpub_cmd(subject, reply, _block(headers), data))
        else:
            self._post(command.pub_cmd(subject, reply, data))

    def listen(self, subject: str, handler: Handler) -> int:
        """
        Subscribe, and return what the subscription is known by.

        *handler* is called as each message is read. It must neither wait nor raise: that would
        end the connection.

        :raises nats.errors.BadSubjectError: *subject* isn't one word.
        :raises nats.errors.ConnectionClosedError: it is.
        """
        _check(subject)
        self._sid += 1
        self._handlers[self._sid] = handler
        self._post(command.sub_cmd(subject, "", self._sid))
        return self._sid

    def stop_listening(self, subscription: int) -> None:
        """
        Unsubscribe; twice is fine.

        :raises nats.errors.ConnectionClosedError: it is.
        """
        if self._handlers.pop(subscription, None):
            self._post(command.unsub_cmd(subscription, 0))

    def _post(self, sent: bytes) -> None:
        if not self.is_connected:
            raise nats.errors.ConnectionClosedError
        self._pending.append(sent)  # in one line with what nats-py itself is about to send
        self._pending_data_size += len(sent)
        if not self._sends_soon:
            self._sends_soon = True
            asyncio.get_running_loop().call_soon(self._send_pending)

    def _send_pending(self) -> None:
        self._sends_soon = False
        if self._pending and self.is_connected and self._transport is not None:
            self._transport.writelines(self._pending)
            self._pending = []
            self._pending_data_size = 0

    async def _process_msg(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes
    ) -> None:
        """Hand over a message; nats-py's parser calls this. What nobody listens to is dropped."""
        handler = self._handlers.get(sid)
        if handler:
            handler(Arrived(_text(subject), _text(reply), data, headers or b""))


def read_headers(block: bytes) -> dict[str, str]:
    r"""
    Read a message's headers, of NATS's client protocol.

    They are ``NATS/1.0[ status[ text]]\r\n``, lines of ``name: value\r\n``, and ``\r\n``. As in
    nats-py, a line that is no header is left out, and the last of a name counts.
    """
    first, *lines = block.decode(errors="replace").split("\r\n")
    said = first.removeprefix(_VERSION).strip()
    found = {}
    status, text = said[:_STATUS_LENGTH], said[_STATUS_LENGTH:].strip()
    if status.isdecimal():
        found["Status"] = status
    if text:
        found["Description"] = text
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            found[name.strip()] = value.strip()
    return found


def _block(headers: Mapping[str, str]) -> bytes:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{_VERSION}\r\n{lines}\r\n".encode()


def _check(subject: str) -> None:
    if not subject or _BREAKS_THE_LINE.search(subject):
        raise nats.errors.BadSubjectError


def _text(subject: bytes) -> str:
    return subject.decode(errors="replace")
