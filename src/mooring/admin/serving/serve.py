"""mooringd serve: the server, until it is asked to stop."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import ssl
import sys
from dataclasses import replace
from functools import partial

import structlog
import uvicorn
import uvloop

from mooring.admin.running_server import RunningServer
from mooring.admin.serving.announcement import Announcement
from mooring.admin.serving.descriptors import raise_limit
from mooring.admin.serving.tls import renew, server_context
from mooring.api.app import create_app
from mooring.api.http_server import HttpServer
from mooring.config.settings import Settings
from mooring.jobs.running.execution import Observer, unobserved
from mooring.model.errors import ConfigurationError
from mooring.model.paths import Paths
from mooring.observe import logs, loop
from mooring.protocol import service_model
from mooring.service.overview.readiness import readiness
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.table import OPERATIONS, handlers
from mooring.wiring.catalog_copies import check_catalog_is_there
from mooring.wiring.server import Mooring, build_server
from mooring.wiring.watches import problem

log = structlog.get_logger("mooring.server")

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Addresses that mean all of the host's, and how to get to them from here."""

SWITCH_SECONDS = 0.001
"""How long one thread keeps others waiting, about; Python's own default is five times that."""

BACKLOG = 2048
"""Connections that wait to be accepted, at most; the same as uvicorn's."""

SHUTDOWN_SECONDS = 5
"""How long requests under way may take at the end."""


def serve(
    settings: Settings,
    *,
    port: int | None = None,
    config: str | None = None,
    observer: Observer = unobserved,
) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError.

    `config` is the file that the settings were read from, for other commands to read it, too.
    """
    os.umask(0o077)
    leaving = Leaving()
    # uvicorn raises the signal again when it is done: the default action would leave no time
    # to tidy up.
    signal.signal(signal.SIGTERM, leaving)
    signal.signal(signal.SIGINT, leaving)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    logs.configure(settings.log.level)
    loop.watch_other_threads()
    raise_limit(settings.limits.connections)
    # Requests come first: a job that computes must let them in soon.
    sys.setswitchinterval(SWITCH_SECONDS)
    if port is not None:
        settings = replace(settings, listen=replace(settings.listen, port=port))
    tls = server_context(settings.listen) if settings.listen.uses_tls else None
    listener = _listen(settings)
    try:
        check_catalog_is_there(settings, Paths(settings.data_directory))
        mooring = build_server(settings, observer)
    except BaseException:
        listener.close()
        raise
    try:
        mooring.start()
        scheme = "https" if tls else "http"
        # Whoever reads the announcement connects at once, and waits until uvicorn answers.
        listener.listen(BACKLOG)
        url = f"{scheme}://{_host(settings)}:{listener.getsockname()[1]}"
        region = next(iter(settings.regions))
        read = None if config is None else os.path.realpath(config)
        told = RunningServer(url, region, os.getpid(), read)
        announcement = Announcement(mooring.paths.server, told, mooring.reserve)
        announcement.write()
        _say_where(mooring, url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(mooring, listener, tls, announcement, leaving))
    finally:
        mooring.paths.server.unlink(missing_ok=True)
        mooring.stop()
        listener.close()
    return 0


class Leaving:
    """A signal's handler that ends the start, and remembers that it was asked to.

    Python ignores what is raised in some places, while it frees an object for example.
    """

    def __init__(self) -> None:
        self.asked = False

    def __call__(self, _number: int, _frame: object) -> None:
        self.asked = True
        raise SystemExit(0)


async def _serve(
    mooring: Mooring,
    listener: socket.socket,
    tls: ssl.SSLContext | None,
    announcement: Announcement,
    leaving: Leaving,
) -> None:
    settings = mooring.settings
    app = create_app(
        model=service_model.load(),
        handlers=handlers(mooring.backend),
        own_requests=OWN_REQUESTS,
        own_handlers=own_handlers(mooring.backend),
        find_key=mooring.keys.find,
        regions=list(settings.regions),
        clock=mooring.clock,
        ids=mooring.backend.ids,
        limits=settings.limits,
        throttles=settings.throttle,
        entries=OPERATIONS,
        audit_log=mooring.audit,
        traffic=mooring.traffic,
        problem=partial(problem, mooring.backend),
        parts=partial(readiness, mooring.backend),
    )
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        lifespan="off",
        # The audit log shall say who connected, not what a header claims.
        proxy_headers=False,
        timeout_keep_alive=settings.limits.idle_seconds,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    server = HttpServer(config, settings.limits, tls)

    def refresh() -> None:
        mooring.keys.refresh()
        if tls is not None:
            renew(tls, settings.listen)

    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, refresh)

    def end(_number: int, _frame: object) -> None:
        server.should_exit = True

    # Until uvicorn has its own; nothing that is raised in between could be lost.
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    if leaving.asked:
        return
    announcing = asyncio.create_task(announcement.until_written())
    await server.serve(sockets=[listener])
    announcing.cancel()


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.listen.host, settings.listen.port
    if not 0 <= port < 65536:
        raise ConfigurationError(f"--port must be 0 to 65535, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, event loops switch Nagle's algorithm off. Otherwise each answer but
    # the first of a connection comes 40 ms late, when the client's delayed ACK is in.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"cannot listen on {host} port {port}: {error.strerror}. "
            "Choose another with --port, or listen.port in the settings."
        ) from error
    return listener


def _host(settings: Settings) -> str:
    """The host that clients here connect to."""
    host = settings.listen.host
    if settings.listen.name:
        return settings.listen.name
    if host in _ANY:
        host = _ANY[host]
    return f"[{host}]" if ":" in host else host


def _say_where(mooring: Mooring, url: str) -> None:
    """Tell whoever looks on."""
    print(
        f"Mooring serves {', '.join(mooring.settings.regions)} at {url}\n"
        f"data directory  {mooring.paths.data}\n"
        f"access keys     {mooring.paths.credentials}\n"
        f'for aws, boto3: eval "$(mooringd env --data {shlex.quote(str(mooring.paths.data))})"',
        file=sys.stderr,
        flush=True,
    )
