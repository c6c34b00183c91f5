"""A read-only NBD server for asyncio."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
import ssl
import stat
from functools import partial
from pathlib import Path

import structlog

from mooring.model.errors import ConfigurationError, MooringError, NbdError
from mooring.nbd.budget import Memory
from mooring.nbd.export import Exports
from mooring.nbd.server_handshake import Handshake
from mooring.nbd.server_transmission import PIECE, Limits, Transmission
from mooring.nbd.uri import check_socket_path
from mooring.nbd.wire import Wire

_ROUNDS = 3
"""Of the event loop, from a connection that is accepted to its wire, and one more."""

log = structlog.get_logger()


class NbdServer:
    """Serves exports read-only, on any number of sockets, until closed.

    With `tls`, clients must use TLS before they learn or get anything.
    """

    def __init__(
        self,
        exports: Exports,
        *,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._exports = exports
        self._limits = limits or Limits()
        self._tls = tls
        self._memory = Memory(self._limits.memory, PIECE)
        self._listeners: list[asyncio.Server] = []
        self._paths: list[Path] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def listen_unix(self, path: Path) -> None:
        """Listen on a Unix socket, for its owner only; a socket left by a dead server goes.

        Raises ConfigurationError if the path cannot be used.
        """
        try:
            check_socket_path(str(path))
        except NbdError as error:
            raise ConfigurationError(str(error)) from error
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_dead_socket(path)
            # Before bind, so that there is no moment at which others can connect.
            # Linux gives the file the mode of the socket that is bound to it.
            os.fchmod(listener.fileno(), 0o600)
            listener.bind(str(path))
        except OSError as error:
            listener.close()
            raise ConfigurationError(f"cannot listen on {path}: {error.strerror}") from error
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_unix_server(self._new_wire, sock=listener))
        self._paths.append(path)

    async def listen_tcp(self, host: str, port: int = 0) -> int:
        """Listen on a TCP port, and return which. Other hosts are served with TLS only.

        Raises ConfigurationError if the address cannot be used.
        """
        if self._tls is None and not _is_loopback(host):
            raise ConfigurationError(
                f"NBD on {host} would leave this host unprotected: set up TLS, or use 127.0.0.1"
            )
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(self._new_wire, host, port)
        except OSError as error:
            raise ConfigurationError(f"cannot listen on {host}:{port}: {error}") from error
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening, cut off all clients, remove the sockets."""
        self._closed = True
        await self._accept_no_more()
        for listener in self._listeners:
            listener.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        for path in self._paths:
            path.unlink(missing_ok=True)
        self._listeners.clear()
        self._paths.clear()

    async def _accept_no_more(self) -> None:
        """See connections that are just being accepted become wires, which are then cut off.

        asyncio drops one whose listener is closed between accepting it and making its transport,
        and leaves it open (CPython's `_accept_connection2`, up to 3.13).
        """
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            for accepting in listener.sockets:
                loop.remove_reader(accepting)
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)

    def _new_wire(self) -> Wire:
        return Wire(self._connected)

    def _connected(self, wire: Wire) -> None:
        if self._closed:
            # The kernel had let it in before the listener was closed.
            wire.abort()
            return
        if len(self._connections) >= self._limits.connections:
            log.warning("nbd_connection_refused", connections=len(self._connections))
            wire.abort()
            return
        task = asyncio.get_running_loop().create_task(self._serve(wire))
        self._connections.add(task)
        task.add_done_callback(partial(self._ended, wire))

    def _ended(self, wire: Wire, task: asyncio.Task[None]) -> None:
        # Not at the task's own end: one that is canceled before its first step has none.
        self._connections.discard(task)
        wire.abort()

    async def _serve(self, wire: Wire) -> None:
        wire.keep_alive()
        try:
            async with asyncio.timeout(self._limits.handshake_seconds):
                session = await Handshake(wire, self._exports, self._tls).run()
            if session is not None:
                try:
                    await Transmission(wire, session, self._limits, self._memory).run()
                finally:
                    await session.export.close()
            async with asyncio.timeout(self._limits.stall_seconds):
                await wire.close()
        except TimeoutError:
            log.info("nbd_connection_cut", reason="the client took too long")
        except (MooringError, OSError) as error:
            log.info("nbd_connection_ended", reason=str(error))
        except Exception:
            # A fault of ours ends this connection, not the others.
            log.exception("nbd_connection_failed")


def _remove_dead_socket(path: Path) -> None:
    """Remove a socket that nobody listens on; leave everything else, for bind to complain."""
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except BlockingIOError:
            return


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
