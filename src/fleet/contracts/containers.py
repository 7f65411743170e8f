"""How Fleet's containers, volumes and networks are named and labelled, for any tool to know."""

from fleet.contracts.names import DeploymentName

LABEL_PREFIX = "fleet.nationtech.io/"
LABEL_DEVICE = f"{LABEL_PREFIX}device"
LABEL_DEPLOYMENT = f"{LABEL_PREFIX}deployment"
LABEL_SERVICE = f"{LABEL_PREFIX}service"
LABEL_DIGEST = f"{LABEL_PREFIX}digest"
# Lets a container be kept alive by an agent that has lost the score it came from.
LABEL_RESTART_POLICY = f"{LABEL_PREFIX}restart-policy"
# The device nodes that a container was made with, as JSON; only where it has any.
LABEL_DEVICES = f"{LABEL_PREFIX}devices"
# Where the agent keeps the files that a container mounts; only where it has any.
LABEL_FILES = f"{LABEL_PREFIX}files"

_NAME_PREFIX = "fleet"


def container_name(deployment: DeploymentName, service: str) -> str:
    """Build the name of the container of one service."""
    return f"{_NAME_PREFIX}.{DeploymentName(deployment)}.{service}"


def network_name(deployment: DeploymentName) -> str:
    """Build the name of the network on which the services of one deployment find each other."""
    return f"{_NAME_PREFIX}.{DeploymentName(deployment)}"


def volume_name(deployment: DeploymentName, volume: str) -> str:
    """Build the name of a volume of one deployment: its services share it, no other does."""
    return f"{_NAME_PREFIX}.{DeploymentName(deployment)}.{volume}"
