"""mooringd serve: the server, until it is asked to stop."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog
from starlette.applications import Starlette

from mooring.admin.running_server import RunningServer
from mooring.admin.serving.announcement import Announcement
from mooring.admin.serving.descriptors import raise_limit
from mooring.admin.serving.front_door import Leaving, accept, answer, host_of, listen
from mooring.admin.serving.service_manager import READY, STOPPING, ServiceManager
from mooring.admin.serving.tls import renew, server_context, servers_context
from mooring.api.app import create_app
from mooring.api.passing.passing import Passing
from mooring.backend.cluster_key import read_cluster_key
from mooring.config.check import check_host
from mooring.config.settings import Settings
from mooring.console.on_demand import ConsoleOnDemand
from mooring.jobs.running.execution import Observer, unobserved
from mooring.model.errors import CatalogFullError, ConfigurationError
from mooring.model.paths import Paths
from mooring.observe import logs, loop
from mooring.protocol import service_model
from mooring.service.overview.readiness import readiness
from mooring.service.own.table import OWN_REQUESTS, own_handlers
from mooring.service.table import OPERATIONS, handlers
from mooring.wiring.build_server import build_server
from mooring.wiring.catalog_copies import check_catalog_is_there
from mooring.wiring.parts import Parts
from mooring.wiring.server import Mooring
from mooring.wiring.watches import problem

log = structlog.get_logger("mooring.server")

SWITCH_SECONDS = 0.001
"""How long one thread keeps others waiting, about; Python's own default is five times that."""


def serve(
    settings: Settings,
    *,
    port: int | None = None,
    config: str | None = None,
    observer: Observer = unobserved,
    host_only: bool = False,
) -> int:
    """Serve until SIGTERM or SIGINT. Raises ConfigurationError.

    `config` is the file that the settings were read from, for other commands to read it, too.
    `host_only`: for disks, and only what other servers pass on, or this host itself asks.
    """
    if host_only:
        check_host(settings)
    os.umask(0o077)
    manager = ServiceManager()
    leaving = Leaving()
    logs.configure(settings.log.level)
    loop.watch_other_threads()
    raise_limit(settings.limits.connections)
    # Requests come first: a job that computes must let them in soon.
    sys.setswitchinterval(SWITCH_SECONDS)
    if port is not None:
        settings = replace(settings, listen=replace(settings.listen, port=port))
    tls = server_context(settings.listen) if settings.listen.uses_tls else None
    listener = listen(settings.listen)
    # Other servers are told where this one is.
    bound = replace(settings.listen, port=listener.getsockname()[1])
    settings = replace(settings, listen=bound)
    try:
        check_catalog_is_there(settings, Paths(settings.data_directory))
        mooring = _started(settings, Parts(observer=observer))
    except BaseException:
        listener.close()
        raise
    try:
        scheme = "https" if tls else "http"
        # Whoever reads the announcement connects at once, and waits until uvicorn answers.
        accept(listener, settings.listen)
        url = f"{scheme}://{host_of(settings.listen)}:{listener.getsockname()[1]}"
        region = next(iter(settings.regions))
        read = None if config is None else os.path.realpath(config)
        told = RunningServer(url, region, os.getpid(), read)
        announcement = Announcement(mooring.paths.server, told, mooring.reserve)
        announcement.write()
        _say_where(mooring, url)
        manager.tell(READY)

        def refresh() -> None:
            mooring.keys.refresh()
            if tls is not None:
                renew(tls, settings.listen)

        console = ConsoleOnDemand(mooring.paths.console_links())
        onward = _onward(mooring, host_only)
        answer(
            _app(mooring, console, onward),
            listener,
            leaving,
            settings.limits,
            tls=tls,
            refresh=refresh,
            beside=announcement.until_written,
            at_end=console.end,
        )
        if onward is not None:
            onward.close()
    finally:
        manager.tell(STOPPING)
        mooring.paths.server.unlink(missing_ok=True)
        mooring.stop()
        listener.close()
    return 0


def _started(settings: Settings, parts: Parts, tries: int = 5) -> Mooring:
    """The server, which has begun its work.

    On a full file system each try gives up more of the reserve: others may take that before it is
    used. Raises ConfigurationError, ServerRunningError, CatalogFullError.
    """
    for _ in range(tries - 1):
        with suppress(CatalogFullError):
            return _started_at_once(settings, parts)
    return _started_at_once(settings, parts)


def _started_at_once(settings: Settings, parts: Parts) -> Mooring:
    mooring = build_server(settings, parts)
    try:
        mooring.start()
    except BaseException:
        mooring.stop()
        raise
    return mooring


def _onward(mooring: Mooring, host_only: bool) -> Passing | None:
    """The way to other hosts, where there can be some."""
    backend, servers = mooring.backend, mooring.settings.servers
    if not backend.catalog.is_for_many:
        return None
    key = read_cluster_key(mooring.paths.cluster_key)
    if key is None:
        raise ConfigurationError(f"{mooring.paths.cluster_key} was removed: put it back")
    trusted = servers_context(servers) if servers.authority else None
    own = backend.this_server.id
    return Passing(backend.hosts, own, key.passing_secret, trusted, only=host_only)


def _app(mooring: Mooring, console: ConsoleOnDemand, onward: Passing | None) -> Starlette:
    settings = mooring.settings
    return create_app(
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
        shared_audit=mooring.shared_audit,
        traffic=mooring.traffic,
        problem=partial(problem, mooring.backend),
        parts=partial(readiness, mooring.backend),
        servers=lambda: mooring.cluster.servers,
        console=console.app,
        note_use=mooring.keys.note_use,
        onward=onward,
    )


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
