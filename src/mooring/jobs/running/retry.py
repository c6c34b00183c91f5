"""Which failures of a step are retried, and when."""

from __future__ import annotations

import errno

from mooring.model.errors import (
    NO_ROOM,
    ClusterAwayError,
    DamageError,
    DiskAwayError,
    DiskFullError,
    DiskTooLargeError,
    FencedError,
    ImageUnreadableError,
    LayerDamagedError,
    MooringError,
    PlaceAwayError,
    PointNotFoundError,
    ServiceError,
    SnapshotNotInVaultError,
    StagedError,
    VaultAwayError,
)

POSTPONED_SECONDS = 0.5
"""When a job that had to wait for another looks again."""

FIRST_DELAY_SECONDS = 0.5
MAX_ATTEMPTS = 6
"""Tries of a step: they span about 16 seconds."""

AWAY = (VaultAwayError, PlaceAwayError, ClusterAwayError, FencedError)
"""What passes when somebody does something about it; a host that was fenced is started again."""

AWAY_SECONDS = 3.0
"""When a job looks again whether what it needs is back; it waits as long as it takes."""

FULL_DELAY_SECONDS = 5.0
MAX_FULL_ATTEMPTS = 60
"""Tries while there is no room: five minutes in which somebody can make some."""

_FINAL = (
    DamageError,
    DiskTooLargeError,
    ImageUnreadableError,
    LayerDamagedError,
    PointNotFoundError,
    SnapshotNotInVaultError,
    StagedError,
)


def delay(error: Exception, attempts: int) -> float | None:
    """Seconds until the next try, after so many have failed before; None to give up."""
    if isinstance(error, _FINAL):
        return None
    if isinstance(error, AWAY):
        return AWAY_SECONDS
    if is_full(error):
        return FULL_DELAY_SECONDS if attempts + 1 < MAX_FULL_ATTEMPTS else None
    later = float(FIRST_DELAY_SECONDS * 2 ** min(attempts, MAX_ATTEMPTS))
    if isinstance(error, DiskAwayError):
        return later  # which ends: the device is given up
    return None if attempts + 1 >= MAX_ATTEMPTS else later


def is_full(error: BaseException) -> bool:
    """Whether it is for want of room that this failed."""
    if isinstance(error, OSError):
        return error.errno in NO_ROOM
    return isinstance(error, DiskFullError)


def details(error: Exception) -> str:
    """What `errorDetails` says: of what the system refused, not on which path of this host."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def code(error: Exception) -> str:
    """The `errorCode` of an operation that failed so."""
    if is_full(error):
        return "DiskFull"
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return "InputOutput"
    if isinstance(error, ServiceError):
        return error.code
    if isinstance(error, MooringError):
        return type(error).__name__.removesuffix("Error")
    return "InternalFailure"
