"""Three servers of one catalog on PostgreSQL, with one host's disks between them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.database import Catalog
from mooring.jobs.running.runner import Runner
from mooring.jobs.table import PROCEDURES
from mooring.model.resources.server import Server
from mooring.service.own.table import own_handlers
from mooring.service.table import handlers
from tests.service.world import World

NAMES = ("one", "two", "three")


class OnOneHost(Backend):
    """One of several servers that have the same disks, whatever it is called itself."""

    @property
    def host(self) -> str:
        return ""


def another_server(backend: Backend, name: str, catalog: Catalog) -> Backend:
    """A server beside the backend's, with connections of its own to the same catalog."""
    fields = {field.name: getattr(backend, field.name) for field in dataclasses.fields(backend)}
    this = Server(id=name, name=name)
    return OnOneHost(**{**fields, "catalog": catalog, "this_server": this, "views": {}})


class ThreeServers(World):
    """Each request goes to the next of them; all three run jobs, at the same time.

    Each has connections of its own, and knows of the others what is in the database.
    """

    def __init__(self, url: str) -> None:
        super().__init__(catalog=Catalog(url))
        self.backends = [self._server(name, url) for name in NAMES]
        self.backend = another_server(self.backend, "here", self.catalog)
        self.runners = [Runner(backend, PROCEDURES) for backend in self.backends]
        self._turns = itertools.cycle(
            (handlers(backend), own_handlers(backend)) for backend in self.backends
        )
        self._pool = ThreadPoolExecutor(len(NAMES))
        self.runner = _Together(self.runners, self._pool)  # type: ignore[assignment]

    def _server(self, name: str, url: str) -> Backend:
        return another_server(self.backend, name, Catalog(url))

    def call(self, operation: str, **params: Any) -> Mapping[str, Any]:
        self._next()
        return super().call(operation, **params)

    def act(self, request: str, **params: Any) -> Mapping[str, Any]:
        self._next()
        return super().act(request, **params)

    def _next(self) -> None:
        self._handlers, self._own_handlers = next(self._turns)

    def close(self) -> None:
        self._pool.shutdown()
        for backend in self.backends:
            backend.catalog.close()
        super().close()


class _Together:
    """The runners as one."""

    def __init__(self, runners: list[Runner], pool: ThreadPoolExecutor) -> None:
        self._runners, self._pool = runners, pool

    def drain(self) -> None:
        """Run all jobs that are due: at the same time, and then what one left for another."""
        list(self._pool.map(Runner.drain, self._runners))
        for runner in self._runners:
            runner.drain()
