"""mooringd serve: the server, until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from dataclasses import replace

import uvicorn

from mooring import wiring
from mooring.api.app import create_app
from mooring.config import Settings
from mooring.jobs.runner import Observer, unobserved
from mooring.model.errors import ConfigurationError
from mooring.observe import logs
from mooring.protocol import service_model
from mooring.service.own import own_handlers
from mooring.service.table import handlers

SHUTDOWN_SECONDS = 5
"""How long requests under way may take at the end."""


def serve(settings: Settings, *, port: int | None = None, observer: Observer = unobserved) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError."""
    os.umask(0o077)
    # uvicorn raises the signal again when it is done: the default action would leave no time
    # to tidy up.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    logs.configure(settings.log.level)
    if port is not None:
        settings = replace(settings, listen=replace(settings.listen, port=port))
    listener = _listen(settings)
    mooring = wiring.build(settings, observer)
    try:
        mooring.start()
        url = f"http://{_host(settings)}:{listener.getsockname()[1]}"
        _announce(mooring, url)
        asyncio.run(_serve(mooring, listener))
    finally:
        mooring.paths.server.unlink(missing_ok=True)
        mooring.stop()
        listener.close()
    return 0


def _leave(_number: int, _frame: object) -> None:
    raise SystemExit(0)


async def _serve(mooring: wiring.Mooring, listener: socket.socket) -> None:
    app = create_app(
        model=service_model.load(),
        handlers=handlers(mooring.backend),
        questions=own_handlers(mooring.backend),
        secret_of=mooring.secret_of,
        regions=list(mooring.settings.regions),
        clock=mooring.clock,
        ids=mooring.tools.ids,
        limits=mooring.settings.limits,
    )
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )
    await server.serve(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    host, port = settings.listen.host, settings.listen.port
    if not 0 <= port < 65536:
        raise ConfigurationError(f"--port must be 0 to 65535, not {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
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
    host = settings.listen.host
    return f"[{host}]" if ":" in host else host


def _announce(mooring: wiring.Mooring, url: str) -> None:
    """Write down for clients on this host where the server is, and tell whoever looks on."""
    region = next(iter(mooring.settings.regions))
    text = json.dumps({"url": url, "region": region, "pid": os.getpid()})
    temporary = mooring.paths.server.with_suffix(".tmp")
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.rename(mooring.paths.server)
    print(
        f"Mooring serves {', '.join(mooring.settings.regions)} at {url}\n"
        f"data directory  {mooring.paths.data}\n"
        f"access keys     {mooring.paths.credentials}\n"
        f'for aws, boto3: eval "$(mooringd env --data {mooring.paths.data})"',
        file=sys.stderr,
        flush=True,
    )
