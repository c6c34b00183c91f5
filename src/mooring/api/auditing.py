"""Writes requests that changed something, or were denied, to the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from anyio import to_thread

from mooring.api.exchange import Exchange
from mooring.catalog.sharing.audit_lines import Note
from mooring.model.access import Need
from mooring.model.errors import (
    AccessDeniedException,
    ExpiredTokenException,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    ServiceError,
    UnrecognizedClientException,
)
from mooring.model.names import shown
from mooring.service.entry import AnyEntry

DENIALS = (
    AccessDeniedException,
    ExpiredTokenException,
    IncompleteSignatureException,
    InvalidSignatureException,
    MissingAuthenticationTokenException,
    UnrecognizedClientException,
)
"""Errors that tell of somebody who may not do what was asked."""

MAX_NAMES = 50
"""Names of resources in one line, at most."""


async def note(exchange: Exchange) -> None:
    """Have the catalog note a request that may change something, where servers share it.

    That it succeeded is true if it has changed anything; `audit` corrects it otherwise.
    """
    entry, shared = exchange.door.entries.get(exchange.operation), exchange.door.shared_audit
    if shared is not None and entry is not None and entry.need is not Need.READ:
        line = _line(exchange, entry, None)
        exchange.note = Note(exchange.request_id, exchange.received_ms, shared.server, line)


async def audit(exchange: Exchange, error: ServiceError | None, *, always: bool = False) -> None:
    """Write the request's line, if it is due one or `always`, before its answer goes out."""
    entry = exchange.door.entries.get(exchange.operation)
    denied = isinstance(error, DENIALS)
    changed = entry is not None and entry.need is not Need.READ and exchange.caller != ""
    if not (denied or changed or always):
        return
    line = _line(exchange, entry, error)
    if (log := exchange.door.audit) is not None:
        if log.syncs:
            await to_thread.run_sync(log.write, line)
        else:
            log.write(line)
    await _share(exchange, line, error)


async def _share(exchange: Exchange, line: Mapping[str, Any], error: ServiceError | None) -> None:
    """Have the line in the catalog, too, unless the request's own transaction has brought it.

    Not that of a caller whom nobody knows: those must not fill a database.
    """
    shared, noted = exchange.door.shared_audit, exchange.note
    if shared is None or not exchange.caller:
        return
    if noted is None:
        noted = Note(exchange.request_id, exchange.received_ms, shared.server)
    if error is not None or not noted.recorded:
        noted.line = line
        await to_thread.run_sync(shared.end, noted)


def _line(
    exchange: Exchange, entry: AnyEntry | None, error: ServiceError | None
) -> Mapping[str, Any]:
    client = exchange.request.client
    moment = datetime.fromtimestamp(exchange.received_ms / 1000, UTC)
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestId": exchange.request_id,
        "source": exchange.source or (client.host if client else None),
        "user": exchange.access.user if exchange.caller else None,
        "keyId": exchange.caller or None,
        "region": exchange.region or None,
        "operation": exchange.operation or None,
        "resources": [] if entry is None else _names(entry, exchange.params),
        "result": "Succeeded" if error is None else error.type,
    }
    if isinstance(error, AccessDeniedException):
        line["reason"] = error.message
    elif error is not None:
        line["code"] = error.code
    return line


def _names(entry: AnyEntry, params: Mapping[str, Any]) -> list[str]:
    """The names of what the request was about, in the order of the operation's table."""
    found: list[str] = []
    for member in (*entry.on, *filter(None, [entry.makes]), *entry.notes):
        value = params.get(member)
        names = value if isinstance(value, list) else [value]
        found += [shown(name) for name in names if isinstance(name, str)]
    return found[:MAX_NAMES]
