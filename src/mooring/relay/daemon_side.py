"""The negotiation with a storage daemon, once the client has said all.

A negotiation that is under way holds up freezes, so none waits for a client on the network.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.protocol import Info, Option, Reply, TransmissionFlag

CONTEXT_ID = 0
"""QEMU's number for base:allocation (NBD_META_ID_BASE_ALLOCATION in its include/block/nbd.h)."""

_LONGEST_REPLY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a client has agreed on, and now asks for: an export, information about it."""

    export: str
    structured: bool
    block_status: bool
    topics: bytes = p.U16.pack(0)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon said: its information, or the error that refuses it."""

    info: tuple[bytes, ...]
    error: int = 0
    message: bytes = b""

    def size_and_flags(self) -> tuple[int, int]:
        """Of the export. Raises NbdError."""
        for data in self.info:
            if len(data) == p.INFO_EXPORT_DATA.size:
                kind, size, flags = p.INFO_EXPORT_DATA.unpack(data)
                if kind == Info.EXPORT:
                    return size, flags
        raise NbdError("the storage daemon did not say how large the disk is")


def negotiate(daemon: socket.socket, wanted: Wanted) -> Answer:
    """Ask the daemon for the export. Raises NbdError, OSError."""
    magic, options, flags = p.GREETING.unpack(receive(daemon, p.GREETING.size))
    if (magic, options) != (p.SERVER_MAGIC, p.OPTION_MAGIC):
        raise NbdError("the storage daemon has greeted with something else than NBD")
    daemon.sendall(p.CLIENT_FLAGS.pack(flags & 3))
    name = _string(wanted.export.encode())
    if wanted.structured:
        _agree(daemon, Option.STRUCTURED_REPLY, b"")
    if wanted.block_status:
        query = name + p.U32.pack(1) + _string(p.BASE_ALLOCATION.encode())
        told = _agree(daemon, Option.SET_META_CONTEXT, query)
        if told != [p.U32.pack(CONTEXT_ID) + p.BASE_ALLOCATION.encode()]:
            return Answer((), Reply.ERR_UNKNOWN, b"the disk is not served")
    daemon.sendall(_option(Option.GO, name + wanted.topics))
    info = []
    for kind, data in _replies(daemon, Option.GO):
        if kind & p.REPLY_ERROR:
            return Answer((), kind, data)
        if kind == Reply.INFO:
            info.append(_for_one_connection(data))
    return Answer(tuple(info))


def receive(source: socket.socket, count: int) -> bytes:
    """Exactly so many bytes. Raises NbdError if there are fewer."""
    data = bytearray()
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            raise NbdError("the other side has closed the connection")
        data += piece
    return bytes(data)


def _for_one_connection(data: bytes) -> bytes:
    """Each connection counts as a user of its own, so clients must not open several."""
    if len(data) != p.INFO_EXPORT_DATA.size:
        return data
    kind, size, flags = p.INFO_EXPORT_DATA.unpack(data)
    if kind != Info.EXPORT:
        return data
    return p.INFO_EXPORT_DATA.pack(kind, size, flags & ~TransmissionFlag.CAN_MULTI_CONN)


def _agree(daemon: socket.socket, option: Option, data: bytes) -> list[bytes]:
    daemon.sendall(_option(option, data))
    return [told for kind, told in _replies(daemon, option) if kind == Reply.META_CONTEXT]


def _replies(daemon: socket.socket, option: Option) -> Iterator[tuple[int, bytes]]:
    """The replies to an option, with their data; the last is ACK or an error."""
    while True:
        magic, to, kind, length = p.OPTION_REPLY.unpack(receive(daemon, p.OPTION_REPLY.size))
        if magic != p.OPTION_REPLY_MAGIC or to != option or length > _LONGEST_REPLY:
            raise NbdError("the storage daemon has answered something else than NBD")
        yield kind, receive(daemon, length)
        if kind == Reply.ACK or kind & p.REPLY_ERROR:
            return


def _option(option: Option, data: bytes) -> bytes:
    return p.OPTION.pack(p.OPTION_MAGIC, option, len(data)) + data


def _string(text: bytes) -> bytes:
    return p.U32.pack(len(text)) + text
