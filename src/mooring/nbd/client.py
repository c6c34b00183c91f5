"""An NBD client for asyncio, with many requests in flight."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from mooring.model.counts import counted
from mooring.model.errors import NbdDisconnectedError, NbdError, NbdRequestError
from mooring.nbd import protocol as p
from mooring.nbd.client_handshake import Agreement, agree, greet, list_names
from mooring.nbd.protocol import Command, CommandFlag, StatusExtent, TransmissionFlag
from mooring.nbd.replies import Pending, read_reply
from mooring.nbd.uri import NbdUri, check_socket_path, parse_uri
from mooring.nbd.wire import Wire

CONNECT_SECONDS = 10.0


class NbdClient:
    """One connection to one export. Make it with `connect`; close it, or use `async with`.

    Offsets and lengths are bytes. Requests of several tasks are in flight at once; there is
    no order between them, and `flush` covers those that have returned before. Every request
    raises NbdRequestError if the server refuses or fails it, NbdDisconnectedError when the
    connection is gone.
    """

    def __init__(self, wire: Wire, agreement: Agreement) -> None:
        self._wire = wire
        self.info = agreement.info
        self.contexts = tuple(agreement.contexts.values())
        self.structured = agreement.structured
        self._context_ids = agreement.contexts
        self._pending: dict[int, Pending] = {}
        self._cookie = 0
        self._problem: NbdError | None = None
        self._receiver = asyncio.create_task(self._receive())

    @classmethod
    async def connect(
        cls,
        uri: str | NbdUri,
        *,
        contexts: Sequence[str] = (p.BASE_ALLOCATION,),
        tls: ssl.SSLContext | None = None,
        timeout: float = CONNECT_SECONDS,
        same_user: bool = False,
    ) -> Self:
        """Connect to an export, within `timeout` seconds.

        With `same_user`, only to a Unix socket on which a process of this very user listens.
        `contexts` are asked for; `self.contexts` says which the server has. A `nbds:` URI
        takes the system's certificates unless `tls` is given. Raises NbdError.
        """
        place = parse_uri(uri) if isinstance(uri, str) else uri
        async with _connected(place, tls, timeout, same_user) as wire:
            agreement = await agree(wire, place.export, contexts)
        return cls(wire, agreement)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    # --- requests

    async def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; longer ones than the server takes go in pieces."""
        largest = self.info.maximum_payload
        if length <= largest:
            return await self._read(offset, length)
        end = offset + length
        starts = range(offset, end, largest)
        return b"".join([await self._read(at, min(largest, end - at)) for at in starts])

    async def write(self, offset: int, data: bytes | memoryview, *, fua: bool = False) -> None:
        """Write `data`; with `fua`, return only when it is durable."""
        flags = CommandFlag.FUA if fua else 0
        view = memoryview(data)
        largest = self.info.maximum_payload
        for start in range(0, len(view), largest):
            piece = bytes(view[start : start + largest])
            await self._request(Command.WRITE, offset + start, len(piece), flags, piece)

    async def flush(self) -> None:
        """Return when everything written before is durable."""
        if TransmissionFlag.SEND_FLUSH in self.info.flags:
            await self._request(Command.FLUSH, 0, 0)

    async def trim(self, offset: int, length: int, *, fua: bool = False) -> None:
        """Tell the server that the content is not needed any more; it may stay as it is."""
        flags = CommandFlag.FUA if fua else 0
        await self._in_pieces(Command.TRIM, offset, length, flags)

    async def write_zeroes(
        self,
        offset: int,
        length: int,
        *,
        fua: bool = False,
        punch: bool = True,
    ) -> None:
        """Write zeros; `punch` allows to give the space free."""
        flags = CommandFlag.FUA if fua else 0
        if not punch:
            flags |= CommandFlag.NO_HOLE
        await self._in_pieces(Command.WRITE_ZEROES, offset, length, flags)

    async def block_status(
        self, offset: int, length: int, context: str = p.BASE_ALLOCATION, *, one: bool = False
    ) -> list[StatusExtent]:
        """Return the first extents from `offset`; together they may be shorter than `length`.

        The last is cut at the end of the range. `one` asks for the first extent only.
        """
        if context not in self.contexts:
            raise NbdError(f"the NBD server does not offer {context}; it offers {self.contexts}")
        flags = CommandFlag.REQ_ONE if one else 0
        length = min(length, p.MAX_LENGTH)
        pending = await self._request(Command.BLOCK_STATUS, offset, length, flags)
        extents = pending.extents.get(context, [])
        if not extents:
            raise NbdError(f"the NBD server said nothing about {context} at {offset}")
        # Servers may tell more than was asked for.
        return p.within(extents, length)

    async def map(
        self, context: str = p.BASE_ALLOCATION, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[tuple[int, StatusExtent]]:
        """Yield offset and extent for a whole range, neighbours of equal status joined."""
        end = self.info.size if length is None else offset + length
        start, run, flags = offset, 0, 0
        at = offset
        while at < end:
            for extent in await self.block_status(at, end - at, context):
                if run and extent.flags != flags:
                    yield start, StatusExtent(run, flags)
                    start, run = at, 0
                flags = extent.flags
                run += extent.length
                at += extent.length
        if run:
            yield start, StatusExtent(run, flags)

    async def close(self) -> None:
        """Say goodbye and close; requests in flight fail. Further calls do nothing."""
        if self._problem is None:
            self._problem = NbdDisconnectedError("the connection was closed here")
            header = p.REQUEST.pack(p.REQUEST_MAGIC, 0, Command.DISC, 0, 0, 0)
            self._wire.write(header)
        self._receiver.cancel()
        await asyncio.gather(self._receiver, return_exceptions=True)
        # A server that hangs must not keep us from closing.
        try:
            async with asyncio.timeout(1):
                await self._wire.close()
        except TimeoutError:
            self._wire.abort()

    # --- inside

    async def _read(self, offset: int, length: int) -> bytes:
        return (await self._request(Command.READ, offset, length)).data()

    async def _in_pieces(self, command: Command, offset: int, length: int, flags: int) -> None:
        end = offset + length
        for at in range(offset, end, p.MAX_LENGTH):
            await self._request(command, at, min(p.MAX_LENGTH, end - at), flags)

    async def _request(
        self,
        command: Command,
        offset: int,
        length: int,
        flags: int = 0,
        payload: bytes = b"",
    ) -> Pending:
        if self._problem is not None:
            raise self._problem
        if offset < 0 or length < 0 or offset + length > self.info.size:
            raise NbdRequestError(
                f"{command.name} of {counted(length, 'byte')} at {offset} is outside the export, "
                f"which has {counted(self.info.size, 'byte')}",
                errno.EINVAL,
            )
        self._cookie += 1
        cookie = self._cookie
        pending = self._pending[cookie] = Pending(command, offset, length)
        # Plain numbers: the flag types would cost as much as the rest of the request.
        header = p.REQUEST.pack(p.REQUEST_MAGIC, int(flags), int(command), cookie, offset, length)
        if payload:
            self._wire.write(header, payload)
        else:
            self._wire.write(header)
        await self._wire.drain()
        await pending.done
        if pending.error:
            raise NbdRequestError(
                f"the NBD server failed {command.name} of {counted(length, 'byte')} at {offset}: "
                f"{pending.message or os.strerror(pending.error)}",
                pending.error,
            )
        return pending

    async def _receive(self) -> None:
        try:
            while True:
                await read_reply(self._wire, self._pending, self._context_ids)
        except NbdError as error:
            self._problem = self._problem or error
        except (ValueError, KeyError) as error:
            self._problem = NbdError(f"the NBD server broke the protocol: {error!r}")
        finally:
            problem = self._problem or NbdDisconnectedError("the connection was closed here")
            self._problem = problem
            if not isinstance(problem, NbdDisconnectedError):
                self._wire.abort()
            for pending in self._pending.values():
                pending.fail(problem)
            self._pending.clear()


async def list_exports(
    uri: str | NbdUri, *, tls: ssl.SSLContext | None = None, timeout: float = CONNECT_SECONDS
) -> list[tuple[str, str]]:
    """Return name and description of every export of a server. Raises NbdError."""
    place = parse_uri(uri) if isinstance(uri, str) else uri
    async with _connected(place, tls, timeout) as wire:
        names = await list_names(wire)
        await wire.close()
    return names


@asynccontextmanager
async def _connected(
    place: NbdUri, tls: ssl.SSLContext | None, timeout: float, same_user: bool = False
) -> AsyncIterator[Wire]:
    """A greeted wire; what happens in the body counts against the time limit as well.

    The wire stays open unless the body fails.
    """
    if place.tls and tls is None:
        tls = ssl.create_default_context()
    loop = asyncio.get_running_loop()
    wire = Wire()
    with ExitStack() as on_failure:
        on_failure.callback(wire.abort)
        try:
            async with asyncio.timeout(timeout):
                if place.socket is not None:
                    check_socket_path(place.socket)
                    await loop.create_unix_connection(lambda: wire, place.socket)
                    if same_user and wire.peer_user() != os.getuid():
                        raise NbdError(
                            f"the process that listens on {place.socket} is another user's: only "
                            "this user's own are read from"
                        )
                elif same_user:
                    raise NbdError(f"{place} is not on a Unix socket")
                else:
                    await loop.create_connection(lambda: wire, place.host, place.port)
                await greet(wire, tls, place.host)
                yield wire
        except TimeoutError as error:
            raise NbdDisconnectedError(f"{place} did not answer within {timeout} s") from error
        except OSError as error:
            raise NbdDisconnectedError(f"{place} cannot be reached: {error}") from error
        except UnicodeDecodeError as error:
            raise NbdError(f"{place} sent a name that is not UTF-8: {error}") from error
        on_failure.pop_all()
