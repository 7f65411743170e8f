"""
Logs in to a machine over SSH, by paramiko, to a host whose key was pinned beforehand.

The pins are a file of OpenSSH's ``known_hosts`` form. A host that isn't in it, or that shows
another key, is not talked to; neither the user's own files nor an agent are asked.
"""

import contextlib
import logging
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import paramiko
from paramiko.hostkeys import InvalidHostKey

from fleet import errors

PORT = 22
WITHIN = 20.0
# A peer that is gone without a word is noticed after about this many seconds.
_SILENCE = 20


@dataclass(frozen=True, slots=True)
class Login:
    """Where to log in, as whom, and by what; *known_hosts* is the file that pins the host's key."""

    address: str
    user: str
    known_hosts: Path
    key: Path | None = None
    password: str | None = field(default=None, repr=False)
    port: int = PORT
    within: float = WITHIN

    def __str__(self) -> str:
        port = "" if self.port == PORT else f" port {self.port}"
        return f"{self.user}@{self.address}{port}"

    def means(self) -> str:
        """Name what it logs in by."""
        key = [f"the key {self.key}"] if self.key else []
        password = ["the password"] if self.password is not None else []
        return " nor ".join(key + password) or "a login without key or password"

    def libvirt(self) -> str:
        """
        Return the URI by which libvirt logs in as this does: with the same key, to the same pin.

        It is libssh's transport that can be told of a file of pins; `ssh` itself would have to be
        configured.

        :raises errors.InvalidConfig: it logs in by password alone.
        """
        if self.key is None:
            raise errors.InvalidConfig(
                f"{self}: libvirt there is reached with a key alone; name one beside the password",
                element=str(self),
            )
        means = {
            "keyfile": self.key.absolute(),
            "known_hosts": self.known_hosts.absolute(),
            "known_hosts_verify": "normal",
            "sshauth": "privkey",
            "no_tty": 1,
        }
        host = f"[{self.address.replace('%', '%25')}]" if ":" in self.address else self.address
        query = urlencode(means, quote_via=quote, safe="/")
        return f"qemu+libssh://{quote(self.user)}@{host}:{self.port}/system?{query}"


def log_in(login: Login) -> paramiko.SSHClient:
    """
    Log in, or say why not.

    :raises errors.MachineUnreachable: it doesn't answer in time.
    :raises errors.HostKeyChanged: it has no pin, or shows another key than the pinned one.
    :raises errors.LoginRefused: it takes neither the key nor the password.
    :raises errors.InvalidConfig: the key or the file of pins can't be used.
    """
    # paramiko also logs what it raises; where nobody listens, that would go to standard error.
    logging.getLogger("paramiko").addHandler(logging.NullHandler())
    key = None if login.key is None else _private_key(login.key)
    client = paramiko.SSHClient()
    _load_pins(client, login.known_hosts)
    client.set_missing_host_key_policy(_Pinned(login))
    with contextlib.ExitStack() as unless_done:
        unless_done.callback(client.close)
        with _translated(login, client):
            _connect(client, login, key)
        unless_done.pop_all()
    return client


def _connect(client: paramiko.SSHClient, login: Login, key: paramiko.PKey | None) -> None:
    client.connect(
        login.address,
        login.port,
        login.user,
        pkey=key,
        password=login.password,
        sock=_socket(login),
        allow_agent=False,
        look_for_keys=False,
        timeout=login.within,
        banner_timeout=login.within,
        auth_timeout=login.within,
    )


def _socket(login: Login) -> socket.socket:
    connection = socket.create_connection((login.address, login.port), timeout=login.within)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # many short messages
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENCE // 4)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENCE // 4)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENCE * 1000)
    return connection


class _Pinned(paramiko.MissingHostKeyPolicy):
    """Refuses every host whose key isn't pinned."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002 paramiko's signature
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        raise errors.HostKeyChanged(
            f"{self._login}: {self._login.known_hosts} has no key for {hostname}, which shows"
            f" {key.get_name()} {key.fingerprint}. Compare that with the machine's console"
            " (`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub`), and then add the line"
            f" `{hostname} {key.get_name()} {key.get_base64()}`",
            element=self._login.address,
        )


@contextlib.contextmanager
def _translated(login: Login, client: paramiko.SSHClient) -> Iterator[None]:
    """Turn what goes wrong into errors of ours."""
    try:
        yield
    except paramiko.BadHostKeyException as exc:
        raise errors.HostKeyChanged(
            f"{login}: it shows {exc.key.get_name()} {exc.key.fingerprint}, and"
            f" {login.known_hosts} pins {exc.expected_key.fingerprint}. If the machine was made"
            " anew, pin its new key instead; if not, somebody stands in between",
            element=login.address,
        ) from exc
    except paramiko.AuthenticationException as exc:
        if not _was_refused(client, exc):
            raise _unreachable(login, exc) from exc
        raise errors.LoginRefused(
            f"{login}: it doesn't take {login.means()}; is the public key in"
            f" ~{login.user}/.ssh/authorized_keys, and may this user log in?",
            element=login.address,
        ) from exc
    except UnicodeError as exc:
        said = f"{login.address!r} is not the address of a host"
        raise errors.InvalidHost(said, element=login.address) from exc
    except (paramiko.SSHException, EOFError, OSError) as exc:
        raise _unreachable(login, exc) from exc


def _was_refused(client: paramiko.SSHClient, exc: paramiko.AuthenticationException) -> bool:
    # paramiko raises this one also where nobody refused: no answer came, or the host broke off.
    transport = client.get_transport()
    return transport is not None and transport.is_active() and "timeout" not in str(exc).lower()


def _unreachable(login: Login, exc: Exception) -> errors.MachineUnreachable:
    said = str(exc) or type(exc).__name__
    return errors.MachineUnreachable(f"{login}: no login: {said}", element=login.address)


def _private_key(path: Path) -> paramiko.PKey:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise _unusable(path, f"others may read it; close it with `chmod 600 {path}`")
        return paramiko.PKey.from_path(path)
    except OSError as exc:
        raise _unusable(path, exc.strerror or str(exc)) from exc
    except (paramiko.SSHException, paramiko.pkey.UnknownKeyType, ValueError, TypeError) as exc:
        what = "it is no private key in OpenSSH's form, or a passphrase locks it"
        raise _unusable(path, what) from exc


def _load_pins(client: paramiko.SSHClient, known_hosts: Path) -> None:
    try:
        client.load_system_host_keys(str(known_hosts))
    except OSError as exc:
        raise _unusable(known_hosts, exc.strerror or str(exc)) from exc
    except (UnicodeError, InvalidHostKey) as exc:
        raise _unusable(known_hosts, f"it isn't of the form of known_hosts: {exc}") from exc


def _unusable(path: Path, why: str) -> errors.InvalidConfig:
    return errors.InvalidConfig(f"{path} can't be used: {why}", element=str(path))
