"""
The exception hierarchy, in one place:

* FleetError
  - RetryableError               may succeed by itself; the loop backs off and looks again
    + BusUnavailable             NATS did not answer, or the bucket isn't there (yet)
      . BusRefused               NATS denies it to this user
      . BucketFull               a bucket holds as many bytes as it may
    + RevisionConflict           a compare-and-set lost against another write
    + ClusterUnavailable         the Kubernetes API did not answer, or asked to come back later
    + RuntimeUnavailable         the device's container runtime did not answer
    + ImagePullFailed            the registry did not answer, or broke off
      . DiskFull                 the device has no space left for it
    + ImagePullSlow              an image is on its way for long, and still may come
    + PortInUse                  another process holds a port that a service wants
    + AddressUnavailable         the device can't publish a port on the address that is asked for
    + NetworkUnavailable         the device can't make the network of a deployment
    + HostPathMissing            a directory that a service mounts isn't on the device
    + HostPathUnavailable        the file system of a path that a service mounts doesn't answer
    + DeviceMissing              a device node that a service uses isn't there
    + DeviceInUse                another service has a device node
    + FilesUnavailable           the files of a service can't be written on the device
    + ContainerFailed            a container would not be created or started
    + ContainerInUse             a container of somebody else depends on one that is to go
    + Unhealthy                  the health check of a service fails
    + NameTaken                  a container or network that isn't ours holds the name
    + JournalUnavailable         the agent's journal could not be read or written
    + NotReady                   a part that was started did not become ready in time
    + MachineUnreachable         a machine does not answer over SSH, or broke off
    + CommandFailed              a program on a machine ended badly, or took too long
    + HypervisorUnavailable      libvirt does not answer, or broke off
    + InternalError              an exception that nobody foresaw: a bug, contained and retried
  - PermanentError               fails until somebody changes what was asked for
    + InvalidName                (a ValueError) not an RFC 1123 label
    + InvalidKey                 (a ValueError) not a key of its bucket
    + UndecodableValue           bytes in a bucket that aren't a message of its kind
      . InvalidDesiredState      a desired value that isn't one
      . UnsupportedScore         a score type or field that this agent doesn't know
    + ValueTooLarge              more bytes than a bucket takes
    + InvalidSelector            a label selector with an unknown operator or bad values
    + InvalidConfig              a configuration file with a bad or unknown setting
    + ClusterRefused             the Kubernetes API refused what was sent
      . ObjectNotFound           it has no such object
      . ImmutableField           it would change what can't change while the object exists
    + ImageNotFound              the registry doesn't have the image
    + RegistryUnauthorized       the registry wants credentials, or refuses these
    + InvalidImage               not an image reference
    + DamagedJournal             a file of the agent's journal that says nothing
    + CapabilityUnavailable      the device can't give a service a capability
    + LimitUnavailable           the device can't hold a service to a limit
    + PortForbidden              the device's runtime may not open so low a port
    + HostPathForbidden          a service mounts what is the agent's own
    + DeviceForbidden            a service asks for what is no device node, or for a disk
    + SysctlUnavailable          the device refuses a kernel parameter of a service
    + DirectoryUnusable          a directory can't be made or written to
    + InvalidHost                (a ValueError) not the address of a host
    + InvalidMac                 (a ValueError) not the hardware address of one interface
    + HostKeyChanged             a machine shows another SSH host key than the one pinned
    + LoginRefused               a machine takes neither the key nor the password
    + HostUnsupported            a machine that can't become what was asked for, and what would help
    + HypervisorRefused          libvirt refused what was sent
    + NotOurs                    a thing of that name is there, and somebody else's: never touched

Library exceptions stop at the adapter that owns the library, and are always
chained (``raise ... from exc``).
"""

from typing import ClassVar


class FleetError(Exception):
    """
    Base class of every error this project raises on purpose.

    *element* names the one thing that failed (a service, a key, a path), so
    that a status message can show it without parsing strings. *reason* is the
    CamelCase word for status conditions: the name of the class.
    """

    reason: ClassVar[str] = "Error"

    def __init_subclass__(cls) -> None:
        cls.reason = cls.__name__

    def __init__(self, message: str, *, element: str = "") -> None:
        super().__init__(message)
        self.element = element


class RetryableError(FleetError):
    """May succeed by itself."""


class BusUnavailable(RetryableError):
    """NATS did not answer, refused the connection, or has no such bucket yet."""


class BusRefused(BusUnavailable):
    """NATS denies the operation to this user; retried, since permissions are changed elsewhere."""


class BucketFull(BusUnavailable):
    """A bucket takes no more bytes; retried, since its limit is raised elsewhere, or keys go."""


class RevisionConflict(RetryableError):
    """A compare-and-set found another revision than it expected; *found*, where that is known."""

    def __init__(self, message: str, *, element: str = "", found: int | None = None) -> None:
        super().__init__(message, element=element)
        self.found = found


class ClusterUnavailable(RetryableError):
    """The Kubernetes API did not answer, or asked to come back later."""


class RuntimeUnavailable(RetryableError):
    """The container runtime did not answer."""


class ImagePullFailed(RetryableError):
    """The registry did not answer, or broke off."""


class ImagePullSlow(RetryableError):
    """An image is on its way, or waits for others, for longer than most; nothing is broken off."""


class DiskFull(ImagePullFailed):
    """The device has no space left for an image."""


class PortInUse(RetryableError):
    """Another process or container holds the port."""


class AddressUnavailable(RetryableError):
    """A port is to be published on an address that isn't the device's, or isn't forwarded."""


class NetworkUnavailable(RetryableError):
    """The network on which the services of a deployment find each other can't be made."""


class HostPathMissing(RetryableError):
    """A service mounts a directory that isn't on the device."""


class HostPathUnavailable(RetryableError):
    """The file system of a path that a service mounts doesn't answer."""


class DeviceMissing(RetryableError):
    """A device node that a service uses isn't there, or not yet."""


class DeviceInUse(RetryableError):
    """Another service has a device node that a service wants for itself."""


class FilesUnavailable(RetryableError):
    """The files of a service can't be written: the disk is full, read-only or broken."""


class ContainerFailed(RetryableError):
    """The runtime would not create, start or remove a container."""


class ContainerInUse(RetryableError):
    """A container can't be removed, since one that Fleet didn't create depends on it."""


class Unhealthy(RetryableError):
    """The health check of a service failed as often as it may."""


class NameTaken(RetryableError):
    """A container or a network that isn't this device's holds the name."""


class JournalUnavailable(RetryableError):
    """The agent's journal can't be read or written: the disk is full, read-only or broken."""


class NotReady(RetryableError):
    """A part was started, and did not become ready within its time."""


class MachineUnreachable(RetryableError):
    """A machine does not answer over SSH, or broke off in the middle."""


class CommandFailed(RetryableError):
    """A program on a machine ended badly, or took longer than it may."""


class HypervisorUnavailable(RetryableError):
    """libvirt does not answer, or went away in the middle."""


class InternalError(RetryableError):
    """An exception that nobody foresaw, in the work for one thing: a bug of Fleet or a library."""


class PermanentError(FleetError):
    """Fails until somebody changes what was asked for."""


class InvalidName(PermanentError, ValueError):
    """Not a valid device id or deployment name."""


class InvalidKey(PermanentError, ValueError):
    """Not a key of the bucket it stands in."""


class UndecodableValue(PermanentError):
    """A value that isn't a message of its bucket's kind."""


class InvalidDesiredState(UndecodableValue):
    """A desired value that doesn't decode."""


class UnsupportedScore(UndecodableValue):
    """A score of a type, or with a field, that this version doesn't know."""


class ValueTooLarge(PermanentError):
    """A message of more bytes than its bucket, or the server, takes."""


class InvalidSelector(PermanentError):
    """A label selector that says nothing."""


class InvalidConfig(PermanentError):
    """A configuration with a bad, missing or unknown setting."""


class ClusterRefused(PermanentError):
    """The Kubernetes API refused a request for good."""


class ObjectNotFound(ClusterRefused):
    """The Kubernetes API has no such object, or doesn't know its kind."""


class ImmutableField(ClusterRefused):
    """
    The Kubernetes API keeps a field as it is for as long as its object exists.

    *element* is the field that the API server names, such as ``spec.selector``.
    """


class ImageNotFound(PermanentError):
    """The registry, or with ``pullPolicy: Never`` the device, doesn't have the image."""


class RegistryUnauthorized(PermanentError):
    """The registry wants credentials, or refuses those it got."""


class InvalidImage(PermanentError):
    """Not an image reference."""


class DamagedJournal(PermanentError):
    """A file of the journal that was cut off or altered, or is of another format."""


class CapabilityUnavailable(PermanentError):
    """A capability that there isn't, or that the device may not give away."""


class LimitUnavailable(PermanentError):
    """A limit on memory, CPU time or processes that the device can't enforce."""


class PortForbidden(PermanentError):
    """A port below those that the device's runtime may open."""


class HostPathForbidden(PermanentError):
    """A service mounts what is the agent's own, which the device's owner did not allow."""


class DeviceForbidden(PermanentError):
    """What a service asks for as a device is no node, leads out of /dev, or reaches the disks."""


class SysctlUnavailable(PermanentError):
    """A kernel parameter of a service that the device's kernel, or podman, refuses."""


class DirectoryUnusable(PermanentError):
    """A directory can't be made, or not be written to."""


class InvalidHost(PermanentError, ValueError):
    """Not the address of a host, or one that would be read as an option."""


class InvalidMac(PermanentError, ValueError):
    """Not the hardware address of one interface."""


class HostKeyChanged(PermanentError):
    """A machine shows another SSH host key than the one that is pinned for it."""


class LoginRefused(PermanentError):
    """A machine takes neither the key nor the password."""


class HostUnsupported(PermanentError):
    """A machine can't become what was asked for; the message says what would help."""


class HypervisorRefused(PermanentError):
    """libvirt refused what was sent."""


class NotOurs(PermanentError):
    """Something of that name is there, and is not ours: it is never touched."""


def _reasons(of: type[FleetError]) -> frozenset[str]:
    return frozenset({of.reason}).union(*map(_reasons, of.__subclasses__()))


# All the reasons that there are; a device that tells another one made it up, or is newer.
REASONS = _reasons(FleetError)
