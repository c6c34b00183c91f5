"""The process' side of the front door: its socket, its signals, its event loop."""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress

import uvicorn
import uvloop
from starlette.types import ASGIApp

from mooring.api.http_server import HttpServer
from mooring.config.settings import Limits, Listen
from mooring.model.errors import ConfigurationError

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean all of the host's, and how to get to them from here."""

BACKLOG = 2048
"""Connections that wait to be accepted, at most; the same as uvicorn's."""

SHUTDOWN_SECONDS = 5
"""How long requests under way may take at the end."""

Beside = Callable[[], Coroutine[None, None, None]]
"""What goes on beside the requests, until there are no more."""


class Leaving:
    """A signal's handler that ends the start, and remembers that it was asked to.

    Python ignores what is raised in some places, while it frees an object for example.
    """

    def __init__(self) -> None:
        """From now on this is done on SIGTERM and SIGINT."""
        self.asked = False
        # uvicorn raises the signal again when it is done: the default action would leave no time
        # to tidy up.
        signal.signal(signal.SIGTERM, self)
        signal.signal(signal.SIGINT, self)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again

    def __call__(self, _number: int, _frame: object) -> None:
        self.asked = True
        raise SystemExit(0)


def answer(
    app: ASGIApp,
    listener: socket.socket,
    leaving: Leaving,
    limits: Limits,
    *,
    tls: ssl.SSLContext | None = None,
    refresh: Callable[[], None] | None = None,
    beside: Beside | None = None,
    at_end: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests on the listening socket until SIGTERM or SIGINT. SIGHUP calls `refresh`.

    `at_end` ends answers that otherwise would go on as long as their clients.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_answer(app, listener, leaving, limits, tls, refresh, beside, at_end))


async def _answer(
    app: ASGIApp,
    listener: socket.socket,
    leaving: Leaving,
    limits: Limits,
    tls: ssl.SSLContext | None,
    refresh: Callable[[], None] | None,
    beside: Beside | None,
    at_end: Callable[[], None],
) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        # The audit log shall say who connected, not what a header claims.
        proxy_headers=False,
        timeout_keep_alive=limits.idle_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = HttpServer(config, limits, tls, at_end)
    if refresh is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, refresh)

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    # Until uvicorn has its own; nothing that is raised in between could be lost.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if leaving.asked:
        return
    going_on = None if beside is None else asyncio.create_task(beside())
    await server.serve(sockets=[listener])
    if going_on is not None:
        going_on.cancel()
        with suppress(asyncio.CancelledError):
            await going_on


def listen(at: Listen) -> socket.socket:
    """A socket that has the address. Raises ConfigurationError."""
    host, port = at.host, at.port
    if not 0 <= port < 65536:
        raise ConfigurationError(f"--port must be 0 to 65535, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, event loops switch Nagle's algorithm off. Otherwise each answer but
    # the first of a connection comes 40 ms late, when the client's delayed ACK is in.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    with _told(listener, at):
        listener.bind((host, port))
    return listener


def accept(listener: socket.socket, at: Listen) -> None:
    """Let clients connect from now on. Raises ConfigurationError."""
    # Two that have bound to one port are told apart here.
    with _told(listener, at):
        listener.listen(BACKLOG)


@contextmanager
def _told(listener: socket.socket, at: Listen) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {at.host} port {at.port}: {error.strerror}. "
            "Choose another with --port, or listen.port in the settings."
        ) from error


def host_of(at: Listen) -> str:
    """The host that clients here connect to."""
    host = at.host
    if at.name:
        return at.name
    if host in _ANY:
        host = _ANY[host]
    return f"[{host}]" if ":" in host else host
