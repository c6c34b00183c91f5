"""Every error of Mooring; those of the API are named as AWS names them.

Raise `ServiceError`s from api/, service/ and protocol/: each carries what a
client sees. Raise `MooringError`s of the second group from engine/, vault/ and
jobs/: they never reach a client as they are, but end in an operation's
`errorCode` and `errorDetails`, or in the log.
"""

import errno
from collections.abc import Collection

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""What the system says when there is no room, or no room for this user."""


class MooringError(Exception):
    """Anything that Mooring raises on purpose."""


# --- what a client sees -------------------------------------------------------------------------


class ServiceError(MooringError):
    """An error of the API: a type, a body `code`, an HTTP status and a message for people."""

    code = "InternalFailure"
    status = 400

    def __init__(self, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code

    @property
    def type(self) -> str:
        """The name a client matches on, for example `NotFoundException`."""
        return type(self).__name__


class NotFoundException(ServiceError):
    """The thing named does not exist."""

    code = "DoesNotExist"


class InvalidInputException(ServiceError):
    """The input breaks a rule of the service."""

    code = "InvalidParams"


class OperationFailureException(ServiceError):
    """The operation is not possible in the present state."""

    code = "OperationFailure"


class HostElsewhereException(OperationFailureException):
    """It is for another server; `host` is the id of its host, empty if any of `zone` will do."""

    code = "HostElsewhere"

    def __init__(self, message: str, host: str, zone: str) -> None:
        super().__init__(message)
        self.host, self.zone = host, zone

    @property
    def type(self) -> str:
        """Clients know no other."""
        return OperationFailureException.__name__


class AccessDeniedException(ServiceError):
    """The caller may not do this."""

    code = "AccessDenied"


class UnauthenticatedException(ServiceError):
    """The caller is unknown. An error of the model; the services answer with others."""

    code = "Unauthenticated"


class ServiceException(ServiceError):
    """A fault on the server's side."""

    code = "InternalFailure"
    status = 500


class ThrottlingException(ServiceError):
    """Too many requests at once; clients back off and try again."""

    code = "Throttling"


class SerializationException(ServiceError):
    """The body is not what the protocol asks for."""

    code = "SerializationException"


class UnknownOperationException(ServiceError):
    """There is no such operation."""

    code = "UnknownOperation"


class MethodNotAllowedException(ServiceError):
    """The request is made by another HTTP method, which `allowed` names."""

    code = "MethodNotAllowed"
    status = 405

    def __init__(self, message: str, allowed: str = "") -> None:
        super().__init__(message)
        self.allowed = allowed


class RequestTimeoutException(ServiceError):
    """The request did not arrive in time; clients try again."""

    code = "RequestTimeout"
    status = 408


class MissingAuthenticationTokenException(ServiceError):
    """The request is not signed."""

    code = "MissingAuthenticationToken"


class IncompleteSignatureException(ServiceError):
    """The signature lacks a part."""

    code = "IncompleteSignature"


class InvalidSignatureException(ServiceError):
    """The signature does not fit the request."""

    code = "InvalidSignature"


class UnrecognizedClientException(ServiceError):
    """The access key id is not known."""

    code = "InvalidClientTokenId"


class ExpiredTokenException(ServiceError):
    """The session token is past its time."""

    code = "ExpiredToken"


# --- what happens behind the API ---------------------------------------------------------------


class NotifyError(MooringError):
    """Nobody could be told of a trouble, or of being alive. Its text holds no secret."""


class ConfigurationError(MooringError):
    """The configuration is wrong; the message names the setting and the way out."""


class ServerRunningError(ConfigurationError):
    """Another server runs on the data directory."""


class CatalogError(MooringError):
    """What was recorded cannot be made durable; the message says whether that passes by itself."""


class LeaseLostError(CatalogError):
    """Another server has taken the job meanwhile: what was done here is not recorded."""


class EngineError(MooringError):
    """A live disk could not be handled; the message names the disk."""


class DescriptionError(MooringError):
    """The description beside a disk cannot be read."""


class ZoneAbsentError(EngineError):
    """The settings do not name the zone that a disk is in."""


class ZoneAwayError(ZoneAbsentError):
    """What the zone's disks lie in did not answer when the server started; later it may."""


class ClusterAwayError(EngineError):
    """The cluster that holds the layers does not answer; later it may."""


class FencedError(EngineError):
    """The cluster that holds the layers has shut this host out: others may use its disks."""


class DiskBusyError(EngineError):
    """A client is connected to the disk."""


class DiskTooLargeError(EngineError):
    """The file system that holds layers cannot have a file as large as the disk."""


class DiskFullError(MooringError):
    """The file system that holds layers or vault has no room left."""


class CatalogFullError(DiskFullError):
    """There is no room to record anything; a later try finds some that was set aside."""


class LineageLostError(EngineError):
    """What changed since the given point is not known: compare in full instead."""


class PointNotFoundError(EngineError):
    """The disk has no such frozen point."""


class RevertedError(EngineError):
    """The disk was reverted meanwhile: what was being brought into it has no place any more."""


class LayerDamagedError(EngineError):
    """A layer file is missing, truncated, or of another disk."""


class HostError(MooringError):
    """The kernel of this host refused something; the message names the device or the mount."""


class DiskAwayError(HostError):
    """What a block device stands on is not served right now: it cannot be written through."""


class PlaceAwayError(MooringError):
    """A directory's file system is not mounted; it may be later."""


class QuiesceError(MooringError):
    """Users of disks could not be brought to rest, or thawed again; the message says who."""


class VaultError(MooringError):
    """The vault could not do what was asked."""


class VaultBusyError(VaultError):
    """Somebody else collects in the vault or copies into it; later it works."""


class SnapshotNotInVaultError(VaultError):
    """The vault has no root of that snapshot."""


class DamageError(VaultError):
    """Bytes read back from the vault are not those that were stored."""


class WrongKeyError(VaultError):
    """The secret given does not open the vault; nothing is damaged."""


class StoreError(VaultError):
    """The store under the vault failed; trying again may help."""


class VaultAwayError(StoreError):
    """A place does not hold the vault that it should, or may not be written to; it may later."""


class VaultReadOnlyError(VaultAwayError):
    """The vault is there, and can only be read."""


class RootsMissingError(VaultError):
    """The vault lacks roots of snapshots that it should hold; `ids` are those of the snapshots."""

    def __init__(self, message: str, ids: Collection[str]) -> None:
        super().__init__(message)
        self.ids = frozenset(ids)


class ObjectNotFoundError(StoreError):
    """The store has no object of that name."""


class NbdError(MooringError):
    """An NBD peer refused, broke the protocol, or is not what was asked for."""


class NbdDisconnectedError(NbdError):
    """The NBD peer is gone, or does not answer in time."""


class NbdRequestError(NbdError):
    """An NBD server refused or failed one request; the connection continues."""

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


# --- what the command line prints --------------------------------------------------------------


class CommandError(MooringError):
    """The user's command ends with this message; `kind` chooses the exit code.

    Kinds: `usage`, `parameter`, `configuration`, `service`, `general`. `code` is the short name
    that the newer style prints in brackets, empty for none.
    """

    def __init__(self, message: str, kind: str = "general", code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.code = code


class OutputError(CommandError):
    """Standard output cannot be written: closed, or on a full file system."""


class UnreadableFileError(CommandError):
    """A file or directory in a snapshot is damaged, or of a kind that cannot be read."""


class ImageUnreadableError(MooringError):
    """An image that is being imported cannot be read; trying again does not help."""


# --- how a job leaves its way -------------------------------------------------------------------


class CanceledError(MooringError):
    """What the job works for was deleted; what it did is undone."""


class MissingRowError(CanceledError):
    """A row that has to be there is not: nothing of the transaction is recorded."""


class StagedError(MooringError):
    """A failure that a test has asked for."""


class PostponedError(MooringError):
    """The job cannot continue yet; it is tried again later, without counting as a failure.

    `seconds` says when; None soon.
    """

    def __init__(self, message: str, seconds: float | None = None) -> None:
        super().__init__(message)
        self.seconds = seconds
