"""The negotiation with a client on another host: nothing is told before TLS."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Protocol, TypeVar

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.protocol import Info, Option, Reply
from mooring.nbd.server_handshake import LONGEST_OPTION, MOST_OPTIONS, parse_contexts, parse_info
from mooring.relay.daemon_side import CONTEXT_ID, Answer, Wanted, receive

T = TypeVar("T")


class Door(Protocol):
    """What opens exports for the client that stands there."""

    def enter(self, client: ssl.SSLSocket) -> None:
        """The client has shown its certificate. Raises NbdError if it may use nothing."""

    def open(self, wanted: Wanted, *, stay: bool) -> Answer:
        """Open the export; with `stay`, to use it. Raises NbdError, OSError."""


class ClientSide:
    """One client's way to a disk; every call may wait for it."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext, door: Door) -> None:
        self._plain = client
        self._client: socket.socket | ssl.SSLSocket = client
        self._context = context
        self._door = door
        self._no_zeroes = False
        self._structured = False
        self._context_of: str | None = None

    def run(self) -> ssl.SSLSocket | None:
        """Negotiate until a disk is open; None if none is wanted. Raises NbdError, OSError."""
        flags = p.HandshakeFlag.FIXED_NEWSTYLE | p.HandshakeFlag.NO_ZEROES
        self._client.sendall(p.GREETING.pack(p.SERVER_MAGIC, p.OPTION_MAGIC, flags))
        (answer,) = p.CLIENT_FLAGS.unpack(receive(self._client, p.CLIENT_FLAGS.size))
        if answer & ~int(flags):
            raise NbdError(f"the client has set unknown flags: {answer:#x}")
        self._no_zeroes = bool(answer & p.HandshakeFlag.NO_ZEROES)
        for _ in range(MOST_OPTIONS):
            magic, option, length = p.OPTION.unpack(receive(self._client, p.OPTION.size))
            if magic != p.OPTION_MAGIC or length > LONGEST_OPTION:
                raise NbdError("the client has sent something that is not an option")
            data = receive(self._client, length)
            if option == Option.ABORT:
                self._reply(option, Reply.ACK)
                return None
            if not isinstance(self._client, ssl.SSLSocket):
                self._start_tls(option)
            elif self._answer(option, data):
                return self._client
        raise NbdError(f"the client has sent {MOST_OPTIONS} options and chosen no disk")

    def _start_tls(self, option: int) -> None:
        if option == Option.EXPORT_NAME:
            # This oldest of the options has no way to say no but to hang up.
            raise NbdError("the client has asked for a disk without TLS")
        if option != Option.STARTTLS:
            self._reply(option, Reply.ERR_TLS_REQD, b"use STARTTLS first")
            return
        self._reply(option, Reply.ACK)
        client = self._context.wrap_socket(self._plain, server_side=True)
        self._client = client
        self._door.enter(client)

    def _answer(self, option: int, data: bytes) -> bool:
        """Answer an option; whether a disk is open now."""
        if option == Option.STRUCTURED_REPLY:
            self._structured = True
            self._reply(option, Reply.ACK)
        elif option in (Option.LIST_META_CONTEXT, Option.SET_META_CONTEXT):
            self._meta_context(option, data)
        elif option == Option.EXPORT_NAME:
            return self._export_name(data)
        elif option in (Option.INFO, Option.GO):
            return self._go(option, data)
        elif option == Option.LIST:
            self._reply(option, Reply.ERR_POLICY, b"ask `mooring uri --tcp` for the name")
        else:
            self._reply(option, Reply.ERR_UNSUP, b"not supported")
        return False

    def _meta_context(self, option: int, data: bytes) -> None:
        """Agree on base:allocation; whether there is such a disk is told by GO."""
        parsed = self._parsed(option, parse_contexts, data)
        if parsed is None or not self._structured:
            if parsed is not None:
                self._reply(option, Reply.ERR_INVALID, b"use STRUCTURED_REPLY first")
            return
        name, queries = parsed
        setting = option == Option.SET_META_CONTEXT
        wanted = {p.BASE_ALLOCATION} if setting else {p.BASE_ALLOCATION, "base:"}
        found = bool(wanted.intersection(queries)) or (not setting and not queries)
        if found:
            number = p.U32.pack(CONTEXT_ID)
            self._reply(option, Reply.META_CONTEXT, number + p.BASE_ALLOCATION.encode())
        if setting:
            self._context_of = name if found else None
        self._reply(option, Reply.ACK)

    def _go(self, option: int, data: bytes) -> bool:
        parsed = self._parsed(option, parse_info, data)
        if parsed is None:
            return False
        name, topics = parsed
        packed = b"".join(p.U16.pack(one) for one in sorted(topics))
        wanted = self._wanted(name, p.U16.pack(len(topics)) + packed)
        answer = self._door.open(wanted, stay=option == Option.GO)
        if answer.error:
            self._reply(option, answer.error, answer.message)
            return False
        for one in answer.info:
            is_name = one.startswith(p.U16.pack(Info.NAME))
            told = p.U16.pack(Info.NAME) + name.encode() if is_name else one
            self._reply(option, Reply.INFO, told)
        self._reply(option, Reply.ACK)
        return option == Option.GO

    def _export_name(self, data: bytes) -> bool:
        answer = self._door.open(self._wanted(data.decode(errors="replace")), stay=True)
        if answer.error:
            raise NbdError(answer.message.decode(errors="replace"))
        padding = b"" if self._no_zeroes else bytes(p.EXPORT_NAME_PADDING)
        self._client.sendall(p.EXPORT_NAME_REPLY.pack(*answer.size_and_flags()) + padding)
        return True

    def _wanted(self, name: str, topics: bytes = p.U16.pack(0)) -> Wanted:
        return Wanted(name, self._structured, self._context_of == name, topics)

    def _parsed(self, option: int, parse: Callable[[bytes], T], data: bytes) -> T | None:
        try:
            return parse(data)
        except ValueError:
            self._reply(option, Reply.ERR_INVALID, b"malformed")
            return None

    def _reply(self, option: int, kind: int, data: bytes = b"") -> None:
        packed = p.OPTION_REPLY.pack(p.OPTION_REPLY_MAGIC, option, kind, len(data))
        self._client.sendall(packed + data)
