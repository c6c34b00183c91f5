"""The server's side of the NBD handshake."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from mooring.model.errors import MooringError, NbdError
from mooring.nbd import protocol as p
from mooring.nbd.export import Export, Exports
from mooring.nbd.protocol import Info, Option, Reply, TransmissionFlag
from mooring.nbd.wire import Wire

LONGEST_OPTION = 64 * 1024
"""Bytes of option data that are looked at: a name and a few contexts."""
LONGEST_SKIPPED = 1024 * 1024
"""Bytes of option data that are skipped; a peer that sends more has lost its way."""
MOST_OPTIONS = 1000

CONTEXT_ID = 1
"""Our number for base:allocation, the only context."""

FLAGS = (
    TransmissionFlag.HAS_FLAGS
    | TransmissionFlag.READ_ONLY
    | TransmissionFlag.SEND_FLUSH
    | TransmissionFlag.CAN_MULTI_CONN
)


@dataclass(slots=True)
class Session:
    """What was agreed on with one client."""

    export: Export
    structured: bool
    block_status: bool


class Handshake:
    """One client's way to an export."""

    def __init__(self, wire: Wire, exports: Exports, tls: ssl.SSLContext | None) -> None:
        self._wire = wire
        self._exports = exports
        self._tls = tls
        self._protected = False
        self._no_zeroes = False
        self._structured = False
        # The name for which base:allocation was agreed on.
        self._context_of: str | None = None

    async def run(self) -> Session | None:
        """Negotiate until an export is open; None if the client wants none.

        Raises NbdError when the client breaks the protocol or goes away.
        """
        flags = p.HandshakeFlag.FIXED_NEWSTYLE | p.HandshakeFlag.NO_ZEROES
        self._wire.write(p.GREETING.pack(p.SERVER_MAGIC, p.OPTION_MAGIC, flags))
        (answer,) = p.CLIENT_FLAGS.unpack(await self._wire.read(p.CLIENT_FLAGS.size))
        if answer & ~int(flags):
            raise NbdError(f"the client has set unknown flags: {answer:#x}")
        self._no_zeroes = bool(answer & p.HandshakeFlag.NO_ZEROES)
        for _ in range(MOST_OPTIONS):
            magic, option, length = p.OPTION.unpack(await self._wire.read(p.OPTION.size))
            if magic != p.OPTION_MAGIC:
                raise NbdError("the client has sent something that is not an option")
            if length > LONGEST_OPTION:
                await self._refuse_long(option, length)
                continue
            data = await self._wire.read(length)
            if option == Option.EXPORT_NAME:
                return await self._export_name(data)
            if option == Option.ABORT:
                self._reply(option, Reply.ACK)
                return None
            session = await self._answer(option, data)
            if session is not None:
                return session
            await self._wire.drain()
        raise NbdError(f"the client has sent {MOST_OPTIONS} options and chosen no export")

    async def _answer(self, option: int, data: bytes) -> Session | None:
        if option == Option.STARTTLS:
            await self._start_tls(data)
        elif self._tls is not None and not self._protected:
            self._reply(option, Reply.ERR_TLS_REQD, b"use STARTTLS first")
        elif option == Option.LIST:
            await self._list(data)
        elif option == Option.STRUCTURED_REPLY:
            self._structured_reply(data)
        elif option in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            await self._meta_context(option, data)
        elif option in (Option.INFO, Option.GO):
            return await self._info(option, data)
        else:
            self._reply(option, Reply.ERR_UNSUP, b"not supported")
        return None

    # --- options, one by one

    async def _refuse_long(self, option: int, length: int) -> None:
        if length > LONGEST_SKIPPED or option == Option.EXPORT_NAME:
            raise NbdError(f"the client has sent an option of {length} bytes")
        await self._wire.skip(length)
        self._reply(option, Reply.ERR_TOO_BIG, b"too long")

    async def _export_name(self, data: bytes) -> Session:
        # This oldest of the options has no way to say no but to hang up.
        if self._tls is not None and not self._protected:
            raise NbdError("the client has asked for an export without TLS")
        name = data.decode(errors="replace")
        export = await self._exports.open(name)
        if export is None:
            raise NbdError(f"the client has asked for an unknown export: {name!r}")
        padding = b"" if self._no_zeroes else bytes(p.EXPORT_NAME_PADDING)
        self._wire.write(p.EXPORT_NAME_REPLY.pack(export.size, self._flags()), padding)
        return self._session(name, export)

    async def _start_tls(self, data: bytes) -> None:
        if self._tls is None:
            self._reply(Option.STARTTLS, Reply.ERR_UNSUP, b"TLS is not set up")
        elif data or self._protected:
            self._reply(Option.STARTTLS, Reply.ERR_INVALID, b"has data, or TLS is on already")
        else:
            self._wire.hold()
            self._reply(Option.STARTTLS, Reply.ACK)
            await self._wire.start_tls(self._tls, server_side=True)
            self._protected = True

    async def _list(self, data: bytes) -> None:
        if data:
            self._reply(Option.LIST, Reply.ERR_INVALID, b"LIST has no data")
            return
        for name, description in await self._exports.names():
            packed = name.encode()
            self._reply(
                Option.LIST,
                Reply.SERVER,
                p.U32.pack(len(packed)) + packed + description.encode(),
            )
            await self._wire.drain()
        self._reply(Option.LIST, Reply.ACK)

    def _structured_reply(self, data: bytes) -> None:
        if data:
            self._reply(Option.STRUCTURED_REPLY, Reply.ERR_INVALID, b"has data")
            return
        self._structured = True
        self._reply(Option.STRUCTURED_REPLY, Reply.ACK)

    async def _meta_context(self, option: int, data: bytes) -> None:
        setting = option == Option.SET_META_CONTEXT
        if setting:
            self._context_of = None
        if not self._structured:
            self._reply(option, Reply.ERR_INVALID, b"use STRUCTURED_REPLY first")
            return
        try:
            name, queries = parse_contexts(data)
        except ValueError:
            self._reply(option, Reply.ERR_INVALID, b"malformed")
            return
        export = await self._open(option, name)
        if export is None:
            return
        await export.close()
        wanted = {p.BASE_ALLOCATION} if setting else {p.BASE_ALLOCATION, "base:"}
        if wanted.intersection(queries) or (not setting and not queries):
            # The number means something only when it is set.
            number = CONTEXT_ID if setting else 0
            self._reply(option, Reply.META_CONTEXT, p.U32.pack(number) + p.BASE_ALLOCATION.encode())
            if setting:
                self._context_of = name
        self._reply(option, Reply.ACK)

    async def _info(self, option: int, data: bytes) -> Session | None:
        try:
            name, wanted = parse_info(data)
        except ValueError:
            self._reply(option, Reply.ERR_INVALID, b"malformed")
            return None
        export = await self._open(option, name)
        if export is None:
            return None
        self._reply(
            option, Reply.INFO, p.INFO_EXPORT_DATA.pack(Info.EXPORT, export.size, self._flags())
        )
        if Info.NAME in wanted:
            self._reply(option, Reply.INFO, p.U16.pack(Info.NAME) + name.encode())
        if Info.BLOCK_SIZE in wanted:
            self._reply(
                option,
                Reply.INFO,
                p.INFO_BLOCK_SIZE_DATA.pack(Info.BLOCK_SIZE, 1, 4096, p.MAX_PAYLOAD),
            )
        self._reply(option, Reply.ACK)
        if option == Option.INFO:
            await export.close()
            return None
        return self._session(name, export)

    # --- inside

    def _session(self, name: str, export: Export) -> Session:
        return Session(export, self._structured, self._context_of == name)

    def _flags(self) -> TransmissionFlag:
        return FLAGS | TransmissionFlag.SEND_DF if self._structured else FLAGS

    async def _open(self, option: int, name: str) -> Export | None:
        """Open an export, or tell the client why not."""
        try:
            export = await self._exports.open(name)
        except (MooringError, OSError) as error:
            self._reply(option, Reply.ERR_PLATFORM, f"{name!r} cannot be opened: {error}".encode())
            return None
        if export is None:
            self._reply(option, Reply.ERR_UNKNOWN, f"no export is named {name!r}".encode())
        return export

    def _reply(self, option: int, kind: Reply, data: bytes = b"") -> None:
        self._wire.write(p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, option, kind, len(data)), data)


def take_string(data: bytes, at: int) -> tuple[str, int]:
    """Return the string at `at`, and where it ends. Raises ValueError."""
    start = at + p.U32.size
    if start > len(data):
        raise ValueError("a length is cut off")
    end = start + p.U32.unpack_from(data, at)[0]
    if end > len(data) or end - start > p.MAX_NAME:
        raise ValueError("a string is too long")
    return data[start:end].decode(), end


def parse_contexts(data: bytes) -> tuple[str, list[str]]:
    """Return export name and queries of an option about meta contexts. Raises ValueError."""
    name, at = take_string(data, 0)
    if at + p.U32.size > len(data):
        raise ValueError("the number of queries is cut off")
    (count,) = p.U32.unpack_from(data, at)
    at += p.U32.size
    queries = []
    while at < len(data):
        query, at = take_string(data, at)
        queries.append(query)
    if len(queries) != count:
        raise ValueError("the number of queries is wrong")
    return name, queries


def parse_info(data: bytes) -> tuple[str, set[int]]:
    """Return export name and wanted information of INFO or GO. Raises ValueError."""
    name, at = take_string(data, 0)
    if at + p.U16.size > len(data):
        raise ValueError("the number of requests is cut off")
    (count,) = p.U16.unpack_from(data, at)
    topics = data[at + p.U16.size :]
    if len(topics) != count * p.U16.size:
        raise ValueError("the number of requests is wrong")
    return name, {topic for (topic,) in p.U16.iter_unpack(topics)}
