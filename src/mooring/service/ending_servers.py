"""Ending what a server had begun that is lost and is no host."""

from __future__ import annotations

from typing import Any

import structlog

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException, OperationFailureException
from mooring.model.names import shown
from mooring.model.resources.host import Host
from mooring.model.resources.server import SeenServer
from mooring.service.call import Params
from mooring.taking.leaving import leave_jobs

log = structlog.get_logger("mooring.service")


def end_server(backend: Backend, transaction: Transaction, params: Params) -> dict[str, Any] | None:
    """End the imports and exports of the server `hostName`, and forget it.

    None if that is a host, or nobody is called so. Raises ServiceErrors.
    """
    name = params.get("hostName")
    if not isinstance(name, str) or not name or not backend.catalog.is_for_many:
        return None
    now = backend.clock.now_ms()
    if any(name in (one.host.id, one.host.name) for one in transaction.hosts.all(now)):
        return None
    servers = transaction.servers.all(now)
    found = [one for one in servers if name in (one.server.id, one.server.name)]
    if not found:
        return None
    server = _one(found, name, force=bool(params.get("force"))).server
    count = len(transaction.jobs.of_server(server.id))
    leave_jobs(backend, transaction, Host(id=server.id, name=server.name))
    transaction.servers.forget(server.id)
    log.warning("a server was given up", server=server.name, jobs=count)
    return {"hostName": server.name, "isHost": False, "jobsEnded": count, "notShutOut": []}


def _one(found: list[SeenServer], name: str, *, force: bool) -> SeenServer:
    """The server that is meant: one that is not up, if several have the name."""
    meant = [one for one in found if one.ended or one.is_silent] or found
    if len(meant) > 1:
        told = ", ".join(f"{one.server.id} on {one.server.host}" for one in meant)
        raise InvalidInputException(
            f"There are several servers called {shown(name)}. Say which one is meant by its id: "
            f"{told}."
        )
    (one,) = meant
    if not (one.ended or one.is_silent or force):
        raise OperationFailureException(
            f"The server {one.server.name} is up, and was heard of just now. Stop it first, or say "
            "--force: its imports and exports end.",
            "HostUp",
        )
    return one
