"""The HTTP server: accepts connections itself, so that limits hold before TLS."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
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

SHORTAGES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class HttpServer(uvicorn.Server):
    """Serves an application over HTTP, within limits, on one listening socket at a time."""

    def __init__(
        self, config: uvicorn.Config, limits: Limits, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(config)
        self._limits, self._tls = limits, tls
        self.places = Places(limits.connections, limits.connections_per_address)
        self._accepting: list[asyncio.Task[None]] = []
        self._entering: set[asyncio.Task[None]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections on the sockets, which are bound."""
        await super().startup(sockets=[])
        for listener in sockets or []:
            listener.setblocking(False)
            listener.listen(BACKLOG)
            self._accepting.append(asyncio.create_task(self._accept(listener)))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept no more, and give requests under way the time to end."""
        tasks = [*self._accepting, *self._entering]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
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
            place = self.places.take(str(address[0]), loop.time())
            if place is None:
                client.close()
                continue
            task = loop.create_task(self._enter(client, place))
            self._entering.add(task)
            task.add_done_callback(self._entering.discard)
            if self._tls is not None:
                place.wait(loop.time(), task.cancel)

    async def _enter(self, client: socket.socket, place: Place) -> None:
        loop = asyncio.get_running_loop()
        entered = False
        try:
            client.setblocking(False)
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
