"""Fencing of hosts by a command that decides, as `mooringd fence` does it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import structlog

from mooring.api.shared_audit import SharedAudit
from mooring.backend.backend import Backend
from mooring.catalog.sharing.audit_lines import Note
from mooring.config.settings import Settings
from mooring.jobs.watching.asked_command import AskedCommand
from mooring.jobs.watching.fencing import HostFencing
from mooring.model.errors import ServiceError
from mooring.model.resources.host import Host, SeenHost
from mooring.observe.audit import AuditLog
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.fencing import fence, restore_host
from mooring.service.own.own_request import Answer

CALLER = "hosts.fence_command"
"""Who has done it, in the audit log."""

log = structlog.get_logger("mooring.hosts")

_Request = Callable[[Backend, Context, Params], Answer]


def host_fencing(
    settings: Settings, backend: Backend, audit: AuditLog | None, shared: SharedAudit | None
) -> HostFencing | None:
    """What asks the command of the settings; None if they name none."""
    command, seconds = settings.hosts.fence_command, settings.hosts.fence_seconds
    if not command:
        return None

    def ask(operation: str, request: _Request, seen: SeenHost) -> Answer:
        return _audited(backend, audit, shared, operation, request, seen.host)

    def fence_and_restore(seen: SeenHost) -> str:
        name = seen.host.name
        if left := ask("fence", fence, seen)["notShutOut"]:
            return (
                f"is fenced, and no server shuts it out of its disks in {', '.join(left)} yet: run "
                f"`mooringd fence {name}` on a host of that zone, then `mooringd restore-host`"
            )
        told = ask("restore-host", restore_host, seen)
        for one in told["restored"]:
            to = one["hostName"]
            log.warning("restored from a lost host", host=name, name=one["name"], to=to)
        kept = [f"{one['name']} ({one['why']})" for one in told["left"]]
        return f"is fenced, and this is not restored: {'; '.join(kept)}" if kept else ""

    return HostFencing(backend, AskedCommand(command, seconds), fence_and_restore, seconds)


def _audited(
    backend: Backend,
    audit: AuditLog | None,
    shared: SharedAudit | None,
    operation: str,
    request: _Request,
    host: Host,
) -> Answer:
    """Do what an operator would ask for, with the same lines in the audit log."""
    now, request_id = backend.clock.now_ms(), backend.ids.new_id()
    moment = datetime.fromtimestamp(now / 1000, UTC)
    line: dict[str, Any] = {
        "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestId": request_id,
        "source": None,
        "user": CALLER,
        "keyId": None,
        "region": None,
        "operation": operation,
        "resources": [host.name],
        "result": "Succeeded",
    }
    note = None if shared is None else Note(request_id, now, shared.server, line)
    context = Context("", CALLER, request_id, None, now, note=note)
    if note is not None:
        backend = replace(backend, catalog=backend.catalog.noting(note))
    try:
        # Another one may have its name by now.
        return request(backend, context, {"hostName": host.id})
    except ServiceError as error:
        line |= {"result": error.type, "code": error.code}
        if note is not None:
            note.line = line
        raise
    finally:
        if audit is not None:
            audit.write(line)
        noted = note is None or (note.recorded and line["result"] == "Succeeded")
        if shared is not None and note is not None and not noted:
            shared.end(note)
