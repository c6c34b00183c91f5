"""The HTTP server: accepts connections itself, so that limits apply before TLS."""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import socket
import ssl
from collections.abc import Callable, Coroutine
from functools import partial

import uvicorn

from mooring.api.connections import Connection
from mooring.api.places import Place, Places
from mooring.config.settings import Limits

LOG = logging.getLogger("mooring.api")

HANDSHAKE_SECONDS = 10.0
CLOSING_SECONDS = 5.0
"""How long TLS may take to begin and to end."""

BACKLOG = 2048
"""Connections that the system keeps until they are accepted."""

PAUSE_SECONDS = 0.1
"""How long accepting rests when the system has no descriptor or memory for it."""

PATIENCE_SECONDS = 2.0
"""How long a connection waits for a place: longer than one that says nothing keeps its own."""

REFUSAL_SECONDS = 1.0
REFUSAL_BYTES = 2 * 1024 * 1024
"""How long, and up to how much, a request is read that is refused, so that the answer arrives."""

WITHOUT_PLACE = 256
"""Connections that wait for a place or are being refused; more are not accepted meanwhile."""

SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


def _refusal() -> bytes:
    told = {
        "__type": "ServiceUnavailable",
        "message": "All connections of the server are in use: try again later, or raise "
        "limits.connections or limits.connections_per_address in its settings.",
    }
    body = json.dumps(told).encode()
    return (
        b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/x-amz-json-1.1\r\n"
        b"retry-after: 1\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
    ) + body


REFUSAL = _refusal()


class HttpServer(uvicorn.Server):
    """Serves an application over HTTP, within limits, on one listening socket at a time."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """`at_end` ends answers that otherwise would go on as long as their clients."""
        super().__init__(config)
        self._limits, self._tls, self._at_end = limits, tls, at_end
        self.places = Places(limits.connections, limits.connections_per_address)
        self._accepting: list[asyncio.Task[None]] = []
        self._entering: set[asyncio.Task[None]] = set()
        self._without_place: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections on the sockets, which are bound."""
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._accepting.append(asyncio.create_task(self._accept(listener)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and give requests under way the time to end."""
        tasks = [*self._accepting, *self._entering, *self._without_place]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._at_end()
        await super().shutdown(sockets=sockets)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in SHORTAGES:
                    LOG.warning("connections wait: %s", error.strerror)
                    await asyncio.sleep(PAUSE_SECONDS)
                continue  # else it was the client's connection that failed
            try:
                await self._admit(client, str(address[0]))
            except Exception:
                # Or nobody would be let in any more.
                LOG.exception("a connection could not be let in")
                client.close()

    async def _admit(self, client: socket.socket, host: str) -> None:
        """Let a connection have its place, wait for one, or be refused."""
        client.setblocking(False)
        place = self.places.take(host, asyncio.get_running_loop().time())
        if place is not None:
            _begin(self._enter(client, place), self._entering)
        elif self.places.has_share(host):
            try:
                while len(self._without_place) >= WITHOUT_PLACE:
                    await asyncio.wait(self._without_place, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                client.close()
                raise
            _begin(self._wait(client, host), self._without_place)
        elif len(self._without_place) < WITHOUT_PLACE:
            _begin(self._refuse(client), self._without_place)
        else:
            # Whoever takes more than a share keeps nobody else waiting.
            client.close()

    async def _wait(self, client: socket.socket, host: str) -> None:
        """Let the connection have the next place that comes free, or refuse it."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        try:
            while (place := self.places.take(host, loop.time())) is None:
                if loop.time() >= deadline:
                    break
                await asyncio.sleep(PAUSE_SECONDS)
        except asyncio.CancelledError:
            client.close()
            raise
        if place is None:
            await self._refuse(client)
        else:
            _begin(self._enter(client, place), self._entering)

    async def _refuse(self, client: socket.socket) -> None:
        """Answer, and read what comes: a close before that would reset the connection."""
        loop = asyncio.get_running_loop()
        left = REFUSAL_BYTES
        try:
            async with asyncio.timeout(REFUSAL_SECONDS):
                if self._tls is None:
                    await loop.sock_sendall(client, REFUSAL)
                client.shutdown(socket.SHUT_WR)
                while left > 0 and (piece := await loop.sock_recv(client, 65536)):
                    left -= len(piece)
        except (OSError, TimeoutError):
            return
        finally:
            client.close()

    async def _enter(self, client: socket.socket, place: Place) -> None:
        loop = asyncio.get_running_loop()
        entered = False
        try:
            if self._tls is not None and (task := asyncio.current_task()) is not None:
                place.wait(loop.time(), task.cancel)
            # Nagle's algorithm would keep each answer until the client's delayed ACK is in.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is None:
                await loop.connect_accepted_socket(partial(self._connection, place), client)
            else:
                await loop.connect_accepted_socket(
                    partial(self._connection, place),
                    client,
                    ssl=self._tls,
                    ssl_handshake_timeout=HANDSHAKE_SECONDS,
                    ssl_shutdown_timeout=CLOSING_SECONDS,
                )
            entered = True
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            # A client that gave up, speaks no TLS, or was too slow. Whoever cancels does not wait.
            return
        finally:
            if not entered:
                client.close()
                place.leave()

    def _connection(self, place: Place) -> Connection:
        return Connection(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            place=place,
            head_seconds=self._limits.head_seconds,
            reply_seconds=self._limits.request_seconds,
        )


def _begin(work: Coroutine[None, None, None], among: set[asyncio.Task[None]]) -> None:
    """Let it continue by itself, as one of those that the end waits for."""
    task = asyncio.get_running_loop().create_task(work)
    among.add(task)
    task.add_done_callback(among.discard)
