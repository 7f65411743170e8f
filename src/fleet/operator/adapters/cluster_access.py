"""How the API server is reached, and as whom: by KUBECONFIG, or by the pod's account."""

import os
from typing import Final

from kubernetes.aio import client, config
from kubernetes.aio.config import ConfigException

from fleet import errors
from fleet.contracts import kubeconfig

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


async def read() -> client.Configuration:
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
            config.load_incluster_config(found, try_refresh_token=False)
    except (ConfigException, OSError) as exc:
        raise errors.ClusterUnavailable(f"no access to a cluster: {exc}") from exc
    return found


def is_same_connection(one: client.Configuration, other: client.Configuration) -> bool:
    """Tell whether the two lead to the same server, in the same way."""
    return all(getattr(one, name) == getattr(other, name) for name in CONNECTION)


async def _read_kubeconfig(path: str, found: client.Configuration) -> None:
    if not kubeconfig.check_path(path):
        raise errors.ClusterUnavailable(f"no access to a cluster: {path} is not there")
    try:
        await config.load_kube_config(path, client_configuration=found, persist_config=False)
    except (KeyError, TypeError, ValueError) as exc:
        # Its words may quote what stands there.
        what = f"kubeconfig {path}: its credentials can't be read ({type(exc).__name__})"
        raise errors.InvalidConfig(what, element=path) from None
