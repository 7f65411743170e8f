"""How the API server is reached, and as whom: by KUBECONFIG, or by the pod's account."""

import os
import ssl
from pathlib import Path
from typing import Final

from kubernetes.aio import client, config
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from msgspec import UNSET

from fleet import errors
from fleet.contracts import kubeconfig

# Where the kubelet mounts it.
ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# What a new token leaves as it is; all else needs new connections.
CONNECTION: Final = (
    "host",
    "ssl_ca_cert",
    "cert_file",
    "key_file",
    "verify_ssl",
    "tls_server_name",
    "proxy",
)


async def read(account: Path = ACCOUNT) -> client.Configuration:
    """
    Read it anew, from the files.

    :raises errors.ClusterUnavailable: the files aren't there (yet).
    :raises errors.InvalidConfig: they are, but can't be used.
    """
    found = client.Configuration()
    found.retries = None  # False is 0 there, which its retries never reach: they never end
    path = os.environ.get("KUBECONFIG")
    try:
        if path:
            await _read_kubeconfig(path, found)
        else:
            _read_account(account, found)
    except OSError as exc:
        raise errors.ClusterUnavailable(f"no access to a cluster: {exc}") from exc
    _check_token(found)
    return found


def is_same_connection(one: client.Configuration, other: client.Configuration) -> bool:
    """Tell whether the two lead to the same server, in the same way."""
    return all(getattr(one, name) == getattr(other, name) for name in CONNECTION)


def connect(found: client.Configuration) -> client.ApiClient:
    """
    Make a client.

    :raises errors.ClusterUnavailable: a file that it needs is gone, or can't be read.
    :raises errors.InvalidConfig: one isn't what it should be.
    """
    try:
        return client.ApiClient(found)
    except ssl.SSLError as exc:
        raise _invalid(f"{_broken(found)} can't be read: {exc.reason or exc}") from exc
    except OSError as exc:
        raise errors.ClusterUnavailable(f"no access to a cluster: {_source()}: {exc}") from exc


async def _read_kubeconfig(path: str, found: client.Configuration) -> None:
    user = kubeconfig.check_path(path)
    if user is None:
        raise errors.ClusterUnavailable(f"no access to a cluster: {path} is not there")
    try:
        await config.load_kube_config(path, client_configuration=found, persist_config=False)
    except ConfigException as exc:
        what = f"no access to a cluster: kubeconfig {path}: {kubeconfig.quotable(str(exc))}"
        raise errors.ClusterUnavailable(what) from None
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        # Its words may quote what stands there.
        which = (
            f"credentials, or its token file {user.token_file},"
            if user.token_file
            else "credentials"
        )
        raise _invalid(f"its {which} can't be read ({type(exc).__name__})") from None
    if user.token_file and not found.api_key:
        raise _invalid(f"its token file {user.token_file} is empty")
    if user.exec is not UNSET and not (found.api_key or found.cert_file):
        raise errors.ClusterUnavailable(f"{_source()}: {user.exec.command} gave no credentials")


def _read_account(account: Path, found: client.Configuration) -> None:
    """Read what every pod has."""
    loader = InClusterConfigLoader(
        str(account / "token"), str(account / "ca.crt"), try_refresh_token=False
    )
    try:
        loader.load_and_set(found)
    except ConfigException as exc:
        raise errors.ClusterUnavailable(f"no access to a cluster: {exc}") from exc
    except ValueError:
        raise _invalid(f"a file in {account} is no text") from None


def _check_token(found: client.Configuration) -> None:
    """Refuse what would be no header, and take a line's end off, as a file has one."""
    for name, header in found.api_key.items():
        scheme, _, token = header.partition(" ")
        token = token.strip()
        if not token or not token.isascii() or not token.isprintable():
            raise _invalid("its token is empty, or holds what no token does")
        found.api_key[name] = f"{scheme} {token}"


def _broken(found: client.Configuration) -> str:
    """Name what keeps a client from being made."""
    try:
        ssl.create_default_context(cafile=found.ssl_ca_cert)
    except ssl.SSLError:
        return "its certificate-authority"
    return "its client-certificate or client-key"


def _invalid(what: str) -> errors.InvalidConfig:
    source = _source()
    return errors.InvalidConfig(f"{source}: {what}", element=source)


def _source() -> str:
    path = os.environ.get("KUBECONFIG")
    return f"kubeconfig {path}" if path else "the pod's account"
