"""The numbers and layouts of the NBD protocol.

Source: doc/proto.md of the NetworkBlockDevice project. All integers on the
wire are big-endian and unsigned.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

DEFAULT_PORT = 10809

# --- handshake ------------------------------------------------------------------------------

SERVER_MAGIC = b"NBDMAGIC"
OPTION_MAGIC = b"IHAVEOPT"
OPTION_REPLY_MAGIC = 0x3E889045565A9

GREETING = struct.Struct(">8s8sH")
"""Both magics, handshake flags."""
CLIENT_FLAGS = struct.Struct(">I")
OPTION = struct.Struct(">8sII")
"""Magic, option, length of its data."""
OPTION_REPLY = struct.Struct(">QIII")
"""Magic, option, reply type, length of its data."""
EXPORT_NAME_REPLY = struct.Struct(">QH")
"""Size, transmission flags; then 124 zeros unless NO_ZEROES was agreed on."""
EXPORT_NAME_PADDING = 124
INFO_EXPORT_DATA = struct.Struct(">HQH")
"""Kind of information, size, transmission flags."""
INFO_BLOCK_SIZE_DATA = struct.Struct(">HIII")
"""Kind of information; minimum, preferred and maximum block size."""
U16 = struct.Struct(">H")
U32 = struct.Struct(">I")

MAX_NAME = 4096
"""Bytes of the longest string of the protocol."""


class HandshakeFlag(IntFlag):
    """Flags of the greeting, and of the client's answer to it."""

    FIXED_NEWSTYLE = 1
    NO_ZEROES = 2


class Option(IntEnum):
    """What a client may ask for before the transmission."""

    EXPORT_NAME = 1
    ABORT = 2
    LIST = 3
    STARTTLS = 5
    INFO = 6
    GO = 7
    STRUCTURED_REPLY = 8
    LIST_META_CONTEXT = 9
    SET_META_CONTEXT = 10


class Reply(IntEnum):
    """Types of option replies; those with the highest bit set are errors."""

    ACK = 1
    SERVER = 2
    INFO = 3
    META_CONTEXT = 4
    ERR_UNSUP = 0x80000001
    ERR_POLICY = 0x80000002
    ERR_INVALID = 0x80000003
    ERR_PLATFORM = 0x80000004
    ERR_TLS_REQD = 0x80000005
    ERR_UNKNOWN = 0x80000006
    ERR_SHUTDOWN = 0x80000007
    ERR_BLOCK_SIZE_REQD = 0x80000008
    ERR_TOO_BIG = 0x80000009


REPLY_ERROR = 0x80000000


class Info(IntEnum):
    """Kinds of information about an export."""

    EXPORT = 0
    NAME = 1
    DESCRIPTION = 2
    BLOCK_SIZE = 3


class TransmissionFlag(IntFlag):
    """What an export can do."""

    HAS_FLAGS = 1 << 0
    READ_ONLY = 1 << 1
    SEND_FLUSH = 1 << 2
    SEND_FUA = 1 << 3
    ROTATIONAL = 1 << 4
    SEND_TRIM = 1 << 5
    SEND_WRITE_ZEROES = 1 << 6
    SEND_DF = 1 << 7
    CAN_MULTI_CONN = 1 << 8
    SEND_RESIZE = 1 << 9
    SEND_CACHE = 1 << 10
    SEND_FAST_ZERO = 1 << 11


# --- transmission ---------------------------------------------------------------------------

REQUEST_MAGIC = 0x25609513
SIMPLE_REPLY_MAGIC = 0x67446698
STRUCTURED_REPLY_MAGIC = 0x668E33EF

REQUEST = struct.Struct(">IHHQQI")
"""Magic, command flags, command, cookie, offset, length."""
SIMPLE_REPLY = struct.Struct(">IIQ")
"""Magic, error, cookie."""
STRUCTURED_REPLY = struct.Struct(">IHHQI")
"""Magic, chunk flags, chunk type, cookie, length of what follows."""
OFFSET = struct.Struct(">Q")
HOLE = struct.Struct(">QI")
"""Offset, length."""
CHUNK_ERROR = struct.Struct(">IH")
"""Error, length of the message that follows."""
DESCRIPTOR = struct.Struct(">II")
"""Length and status of one extent."""

MAX_PAYLOAD = 32 * 1024 * 1024
"""Bytes that a read or write may carry when the server names no other limit."""
MAX_LENGTH = 1 << 30
"""Bytes of the longest request without payload that we send; a power of two below 2**32."""


class Command(IntEnum):
    """Requests of the transmission."""

    READ = 0
    WRITE = 1
    DISC = 2
    FLUSH = 3
    TRIM = 4
    CACHE = 5
    WRITE_ZEROES = 6
    BLOCK_STATUS = 7


class CommandFlag(IntFlag):
    """Flags of requests."""

    FUA = 1
    NO_HOLE = 2
    DF = 4
    REQ_ONE = 8
    FAST_ZERO = 16


class Chunk(IntEnum):
    """Types of structured reply chunks; those with the highest bit set are errors."""

    NONE = 0
    OFFSET_DATA = 1
    OFFSET_HOLE = 2
    BLOCK_STATUS = 5
    ERROR = 0x8001
    ERROR_OFFSET = 0x8002


CHUNK_DONE = 1
CHUNK_IS_ERROR = 0x8000

# The protocol has its own numbers for errors, equal to those of Linux.
ERRORS = {
    1: errno.EPERM,
    5: errno.EIO,
    12: errno.ENOMEM,
    22: errno.EINVAL,
    28: errno.ENOSPC,
    75: errno.EOVERFLOW,
    95: errno.ENOTSUP,
    108: errno.ESHUTDOWN,
}

# --- block status ---------------------------------------------------------------------------

BASE_ALLOCATION = "base:allocation"
STATUS_HOLE = 1
STATUS_ZERO = 2


@dataclass(frozen=True, slots=True)
class StatusExtent:
    """A run of `length` bytes with the same status.

    What the bits of `flags` mean depends on the context: in base:allocation they are
    STATUS_HOLE and STATUS_ZERO.
    """

    length: int
    flags: int


def within(extents: Sequence[StatusExtent], length: int) -> list[StatusExtent]:
    """Return the extents that begin before `length` bytes, the last cut there."""
    kept = []
    for extent in extents:
        if length <= 0:
            break
        kept.append(StatusExtent(min(extent.length, length), extent.flags))
        length -= extent.length
    return kept


@dataclass(frozen=True, slots=True)
class ExportInfo:
    """What a server tells about an export. Sizes are bytes."""

    size: int
    flags: TransmissionFlag
    description: str = ""
    minimum_block: int = 1
    preferred_block: int = 4096
    maximum_payload: int = MAX_PAYLOAD

    @property
    def read_only(self) -> bool:
        return TransmissionFlag.READ_ONLY in self.flags
