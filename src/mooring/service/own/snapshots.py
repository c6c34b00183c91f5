"""Questions about snapshots: what they cost, and where they can be read."""

from __future__ import annotations

import structlog

from mooring.backend.backend import Backend
from mooring.model.errors import (
    ConfigurationError,
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
    StoreError,
)
from mooring.model.names import check_name
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import SnapshotState
from mooring.model.sizes import size_in_bytes
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.overview.places import verified_told
from mooring.service.own.own_request import Answer, member
from mooring.service.reach import reaches_record
from mooring.service.snapshots.named_snapshots import named_instance_snapshot, named_snapshot

log = structlog.get_logger("mooring.service")

GRANT_SECONDS = 60 * 60
LONGEST_GRANT_SECONDS = 24 * 60 * 60
LEAST_IDLE_SECONDS = 10


def snapshot(backend: Backend, context: Context, params: Params) -> Answer:
    """What the snapshot `diskSnapshotName` cost: the pause in seconds, and bytes.

    `problem` says why storing it did not succeed when it was last tried. `verified` is the vault's
    last verification, if it began when this was stored: it reads all maps, and part of the data.
    """
    with backend.catalog.read() as transaction:
        name = member(params, "diskSnapshotName")
        found = named_snapshot(transaction, context.region, name, backend.clock.now_ms())
        parent = transaction.snapshots.by_id(found.parent_id) if found.parent_id else None
        job = transaction.jobs.by_id(found.id)
        run = transaction.vault_runs.of(context.region, JobKind.VERIFY_VAULT)
    done = found.completed_ms
    seen = run is not None and done is not None and run.covers(done)
    return {
        "diskSnapshotName": found.name,
        "id": found.id,
        "diskName": found.disk_name or None,
        "diskRegion": backend.region_of(found.disk_zone, found.region),
        "sizeInGb": found.size_gb,
        "isAutomatic": found.auto is not None,
        "isPart": found.part_of is not None,
        "state": found.state,
        "progress": found.progress,
        "pauseSeconds": None if found.pause_us is None else found.pause_us / 1e6,
        "consistency": found.consistency,
        "quiesceSeconds": None if found.rest_us is None else found.rest_us / 1e6,
        "quiesceProblem": found.rest_problem or None,
        "incremental": found.parent_id is not None,
        "parentName": None if parent is None else parent.name,
        "changedBytes": found.changed_bytes,
        "storedBytes": found.stored_bytes,
        "createdAt": found.created_ms / 1000,
        "problem": None if job is None else job.error_details,
        "completedAt": None if done is None else done / 1000,
        "verified": verified_told(run) if seen else None,
    }


def instance_snapshot(backend: Backend, context: Context, params: Params) -> Answer:
    """What the snapshot `instanceSnapshotName` cost: the pause in seconds, each part's bytes."""
    name = member(params, "instanceSnapshotName")
    with backend.catalog.read() as transaction:
        found = named_instance_snapshot(transaction, context.region, name, backend.clock.now_ms())
    pauses = [part.pause_us for part in found.parts if part.pause_us is not None]
    changed = [part.changed_bytes for part in found.parts if part.changed_bytes is not None]
    return {
        "instanceSnapshotName": found.name,
        "id": found.id,
        "state": found.state,
        "progress": found.progress,
        "pauseSeconds": max(pauses) / 1e6 if pauses else None,
        "changedBytes": sum(changed) if len(changed) == len(found.parts) else None,
        "parts": [
            {
                "diskName": part.disk_name,
                "id": part.id,
                "state": part.state,
                "progress": part.progress,
                "incremental": part.parent_id is not None,
                "changedBytes": part.changed_bytes,
                "storedBytes": part.stored_bytes,
            }
            for part in found.parts
        ],
    }


def grant(backend: Backend, context: Context, params: Params) -> Answer:
    """Serve the completed snapshot `diskSnapshotName` read-only for `seconds`; says where.

    With `idleSeconds` it ends when nobody was connected for so long; with `tcp` it is for other
    hosts, with TLS.

    Asked again, it is another grant for the same snapshot.
    """
    with backend.catalog.read() as transaction:
        name = member(params, "diskSnapshotName")
        found = named_snapshot(transaction, context.region, name, backend.clock.now_ms())
    if found.state is not SnapshotState.COMPLETED:
        raise OperationFailureException(
            f"The snapshot {found.name} cannot be exported right now. "
            f"The state of this snapshot is: {found.state}"
        )
    seconds = params.get("seconds", GRANT_SECONDS)
    if not 1 <= seconds <= LONGEST_GRANT_SECONDS:
        raise InvalidInputException(
            f"An export lasts 1 to {LONGEST_GRANT_SECONDS} seconds, not {seconds}."
        )
    idle = params.get("idleSeconds")
    if idle is not None and not LEAST_IDLE_SECONDS <= idle <= seconds:
        raise InvalidInputException(
            f"idleSeconds must be {LEAST_IDLE_SECONDS} to {seconds}, not {idle}."
        )
    expires = backend.clock.now_ms() + seconds * 1000
    try:
        address = backend.server(context.region).grant(
            found.id,
            seconds,
            idle_seconds=idle,
            tcp=params.get("tcp", False),
            key_id=context.caller,
        )
    except ConfigurationError as error:
        raise OperationFailureException(
            f"The snapshot {found.name} cannot be exported so: {error}"
        ) from error
    except StoreError as error:
        log.error("snapshots cannot be served", region=context.region, reason=str(error))
        raise OperationFailureException(
            f"The snapshot {found.name} cannot be exported at present, because the process that "
            "serves snapshots does not start: the server's log says why."
        ) from error
    return {
        "diskSnapshotName": found.name,
        "id": found.id,
        "uri": address,
        "sizeInBytes": size_in_bytes(found.size_gb),
        "expiresAt": expires / 1000,
        "hostName": backend.server_name,
    }


def withdraw(backend: Backend, context: Context, params: Params) -> Answer:
    """End what `grant` of this key served as `export`, the URI's name; reads fail in a second."""
    backend.server(context.region).withdraw(member(params, "export"), context.caller)
    return {}


def export_record(backend: Backend, context: Context, params: Params) -> Answer:
    """How far the export `exportSnapshotRecordName` is, and where its file or directory is."""
    name = member(params, "exportSnapshotRecordName")
    with backend.catalog.read() as transaction:
        found = transaction.export_records.by_name(context.region, check_name(name))
        seen = found is not None and reaches_record(transaction, context.access, found)
    # Another's is called missing: its name is a random id, which nobody else has.
    if found is None or not seen:
        raise NotFoundException(f"The ExportSnapshotRecord does not exist: {name}")
    return {
        "exportSnapshotRecordName": found.name,
        "id": found.id,
        "state": found.state,
        "progress": found.progress,
        "destination": found.destination,
        "hostName": found.server or None,
    }
