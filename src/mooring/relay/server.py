"""Lets clients in: a process for each connection, so that none can hold up another.

A connection's process needs no server and not even the one that accepted it: it carries on when
that is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

from mooring.files import write_whole
from mooring.model.clock import Clock
from mooring.model.errors import ConfigurationError, MooringError
from mooring.nbd.tls import server_context
from mooring.relay.client_side import ClientSide
from mooring.relay.visitor import Visitor

log = structlog.get_logger("mooring.relay")

TCP_NAME = "tcp"
"""JSON: `host` and `port` listened on."""

NEGOTIATION_SECONDS = 30
"""How long a client may take until it uses a disk; whatever it hangs in, it is gone then."""

_IDLE_SECONDS, _PROBE_SECONDS, _PROBES = 3, 2, 3
_SILENT_MS = 10_000
"""How long what was sent may stay unacknowledged: then the client's host is gone."""


@dataclass(frozen=True, slots=True)
class Outside:
    """Where to serve, with which certificates, and how many connections.

    Without `client_authority` everybody is let in.
    """

    host: str
    port: int
    certificate: Path
    key: Path | None
    client_authority: Path | None
    connections: int
    connections_per_address: int

    def context(self) -> ssl.SSLContext:
        """Read anew for each connection: certificates are renewed. Raises ConfigurationError."""
        context = server_context(self.certificate, self.key, self.client_authority, "nbd_disks")
        # Nobody could resume a session with another process.
        context.num_tickets = 0
        return context


class RelayServer:
    """Accepts connections until `close`; a process each serves them."""

    def __init__(self, folder: Path, outside: Outside, clock: Clock) -> None:
        """Listen. Raises ConfigurationError."""
        outside.context()
        self._folder = folder
        self._outside = outside
        self._clock = clock
        self._listener = _listen(outside.host, outside.port or _earlier_port(folder))
        self._listener.setblocking(False)
        self._addresses: dict[int, str] = {}
        """The address of each connection, by the pid of its process."""
        host, port = self._listener.getsockname()[:2]
        write_whole(folder / TCP_NAME, json.dumps({"host": host, "port": port}), durable=False)

    def fileno(self) -> int:
        """What to poll for new connections."""
        return self._listener.fileno()

    def accept(self, before: Callable[[], None]) -> None:
        """Let in who waits; `before` is called in each new process first."""
        self.reap()
        while True:
            try:
                client, address = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:
                log.warning("a connection could not be accepted", why=str(error))
                return
            with client:
                if why := self._too_many(address[0]):
                    log.warning("a connection was refused", address=address[0], why=why)
                    continue
                if (pid := os.fork()) == 0:
                    before()
                    self._serve(client, address)
                self._addresses[pid] = address[0]

    def reap(self) -> None:
        """Forget the processes that have ended."""
        for pid in list(self._addresses):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            del self._addresses[pid]

    def close(self) -> None:
        """Let nobody in any more, and cut everybody off."""
        self._listener.close()
        self.reap()
        for pid in self._addresses:
            os.kill(pid, signal.SIGTERM)

    def _too_many(self, address: str) -> str:
        if len(self._addresses) >= self._outside.connections:
            return "nbd_disks.connections are connected"
        if Counter(self._addresses.values())[address] >= self._outside.connections_per_address:
            return "nbd_disks.connections_per_address are connected from there"
        return ""

    def _serve(self, client: socket.socket, address: tuple[str, int]) -> NoReturn:
        """Serve one client in a process of its own."""
        self._listener.close()
        # Not caught: it ends a client's process whatever that waits for.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(NEGOTIATION_SECONDS)
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        name = f"{host}:{address[1]}"
        status = 1
        try:
            _keep_alive(client)
            anybody = self._outside.client_authority is None
            visitor = Visitor(self._folder, name, self._clock, anybody=anybody)
            opened = ClientSide(client, self._outside.context(), visitor).run()
            if opened is not None:
                signal.alarm(0)
                _end_in_order(visitor)
                visitor.stay(opened)
            status = 0
        except (MooringError, OSError) as error:
            log.info("a connection has ended", address=name, why=str(error))
        except Exception:
            log.exception("a connection has failed", address=name)
        finally:
            os._exit(status)


def _end_in_order(visitor: Visitor) -> None:
    """Give the disk back when the process is asked to end."""

    def end(*_: object) -> NoReturn:
        visitor.leave()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, place = found[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {host}:{port}, where nbd_disks has attached disks served: {error}"
        ) from error
    return listener


def _earlier_port(folder: Path) -> int:
    """The free port that was taken before: clients come back to it. 0 if it is not free."""
    try:
        told = json.loads((folder / TCP_NAME).read_text(encoding="utf-8"))
        port = int(told["port"])
        _listen(str(told["host"]), port).close()
    except (OSError, ValueError, KeyError, TypeError, ConfigurationError):
        return 0
    return port


def _keep_alive(client: socket.socket) -> None:
    """Notice soon when the client's host is gone: nobody else can use the disk until then."""
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _IDLE_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_SECONDS)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MS)


def wait(server: RelayServer, wake: int, seconds: float) -> bool:
    """Wait for connections; whether there are any."""
    poll = select.poll()
    poll.register(server.fileno(), select.POLLIN)
    poll.register(wake, select.POLLIN)
    return any(fd == server.fileno() for fd, _ in poll.poll(seconds * 1000))
