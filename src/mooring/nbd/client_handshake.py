"""The client's side of the NBD handshake."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

from mooring.model.errors import NbdError
from mooring.nbd import protocol as p
from mooring.nbd.wire import Wire

LONGEST_REPLY = 1024 * 1024
"""Bytes of an option reply that we are ready to take in; real ones have a few hundred."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What client and server agreed on: the export, and how the replies look."""

    info: p.ExportInfo
    structured: bool
    contexts: dict[int, str] = field(default_factory=dict)


async def greet(wire: Wire, tls: ssl.SSLContext | None, hostname: str | None) -> None:
    """Exchange greetings, and go over to TLS if `tls` is given. Raises NbdError."""
    first, second, flags = p.GREETING.unpack(await wire.read(p.GREETING.size))
    if first != p.SERVER_MAGIC or second != p.OPTION_MAGIC:
        raise NbdError("the peer is not an NBD server of the newstyle protocol")
    wanted = p.HandshakeFlag.FIXED_NEWSTYLE
    if not flags & wanted:
        raise NbdError("the NBD server is too old: it lacks the fixed newstyle handshake")
    wire.write(p.CLIENT_FLAGS.pack(wanted | (flags & p.HandshakeFlag.NO_ZEROES)))
    if tls is None:
        return
    send_option(wire, p.Option.STARTTLS)
    async for _ in replies(wire, p.Option.STARTTLS):
        pass
    await wire.start_tls(tls, hostname=hostname)


async def agree(wire: Wire, export: str, contexts: Sequence[str]) -> Agreement:
    """Choose the export, with structured replies and `contexts` where the server has them.

    Raises NbdError with the server's words if it refuses.
    """
    structured = await accepted(wire, p.Option.STRUCTURED_REPLY)
    granted: dict[int, str] = {}
    if structured and contexts:
        send_option(wire, p.Option.SET_META_CONTEXT, context_data(export, contexts))
        try:
            async for kind, data in replies(wire, p.Option.SET_META_CONTEXT):
                if kind == p.Reply.META_CONTEXT and len(data) >= p.U32.size:
                    granted[p.U32.unpack_from(data)[0]] = data[p.U32.size :].decode()
        except OptionRefusedError as error:
            # Servers without block status say so here; a wrong name fails again in GO.
            if error.reply not in (p.Reply.ERR_UNSUP, p.Reply.ERR_UNKNOWN):
                raise
    # Asks for the block sizes, which servers otherwise may keep to themselves.
    name = export.encode()
    send_option(
        wire,
        p.Option.GO,
        p.U32.pack(len(name)) + name + p.U16.pack(2)
        + p.U16.pack(p.Info.BLOCK_SIZE) + p.U16.pack(p.Info.DESCRIPTION),
    )  # fmt: skip
    info: p.ExportInfo | None = None
    details = p.ExportInfo(0, p.TransmissionFlag(0))
    async for kind, data in replies(wire, p.Option.GO):
        if kind != p.Reply.INFO or len(data) < p.U16.size:
            continue
        topic = p.U16.unpack_from(data)[0]
        if topic == p.Info.EXPORT and len(data) == p.INFO_EXPORT_DATA.size:
            _, size, flags = p.INFO_EXPORT_DATA.unpack(data)
            info = p.ExportInfo(size, p.TransmissionFlag(flags))
        elif topic == p.Info.BLOCK_SIZE and len(data) == p.INFO_BLOCK_SIZE_DATA.size:
            _, minimum, preferred, maximum = p.INFO_BLOCK_SIZE_DATA.unpack(data)
            details = replace(
                details,
                minimum_block=minimum,
                preferred_block=preferred,
                maximum_payload=min(maximum, p.MAX_PAYLOAD),
            )
        elif topic == p.Info.DESCRIPTION:
            details = replace(details, description=data[p.U16.size :].decode(errors="replace"))
    if info is None:
        raise NbdError(f"the NBD server said nothing about the export {export!r}")
    return Agreement(replace(details, size=info.size, flags=info.flags), structured, granted)


async def list_names(wire: Wire) -> list[tuple[str, str]]:
    """Return name and description of every export, then end the handshake."""
    send_option(wire, p.Option.LIST)
    found = []
    async for kind, data in replies(wire, p.Option.LIST):
        if kind == p.Reply.SERVER and len(data) >= p.U32.size:
            end = p.U32.size + p.U32.unpack_from(data)[0]
            found.append((data[p.U32.size : end].decode(), data[end:].decode(errors="replace")))
    send_option(wire, p.Option.ABORT)
    return found


class OptionRefusedError(NbdError):
    """The server answered an option with an error."""

    def __init__(self, message: str, reply: int) -> None:
        super().__init__(message)
        self.reply = reply


async def accepted(wire: Wire, option: p.Option) -> bool:
    """Send an option without data; return whether the server took it."""
    send_option(wire, option)
    try:
        async for _ in replies(wire, option):
            pass
    except OptionRefusedError:
        return False
    return True


def send_option(wire: Wire, option: p.Option, data: bytes = b"") -> None:
    wire.write(p.OPTION.pack(p.OPTION_MAGIC, option, len(data)), data)


async def replies(wire: Wire, option: p.Option) -> AsyncIterator[tuple[int, bytes]]:
    """Yield type and data of the replies up to the ACK. Raises OptionRefusedError, NbdError."""
    while True:
        magic, about, kind, length = p.OPTION_REPLY.unpack(await wire.read(p.OPTION_REPLY.size))
        if magic != p.OPTION_REPLY_MAGIC or about != option or length > LONGEST_REPLY:
            raise NbdError(f"the NBD server broke the protocol in its reply to {option.name}")
        data = await wire.read(length)
        if kind & p.REPLY_ERROR:
            name = p.Reply(kind).name if kind in list(p.Reply) else f"error {kind:#x}"
            text = data.decode(errors="replace") or "no reason given"
            raise OptionRefusedError(
                f"the NBD server refused {option.name} with {name}: {text}", kind
            )
        if kind == p.Reply.ACK:
            return
        yield kind, data


def context_data(export: str, contexts: Sequence[str]) -> bytes:
    """The data of the options about meta contexts."""
    strings = [export.encode(), *(context.encode() for context in contexts)]
    packed = [p.U32.pack(len(string)) + string for string in strings]
    return b"".join([packed[0], p.U32.pack(len(contexts)), *packed[1:]])
