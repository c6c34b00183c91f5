"""Copies of snapshots, between regions or within one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
)
from mooring.model.names import check_name, name_taken, shown
from mooring.model.operation import Operation
from mooring.model.resources.consistency import CONSISTENCY_TAG
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot, part_name
from mooring.model.resources.own_blueprint import Platform, check_blueprint_id
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.snapshot_jobs import copying
from mooring.model.tags import Tags
from mooring.service.answers import operations
from mooring.service.automatic.taken import find_auto_snapshot, refuse_choice
from mooring.service.call import Call, Result
from mooring.service.finding import find_of_either_kind


def copy_snapshot(backend: Backend, call: Call) -> Result:
    """CopySnapshot: into the region asked, from `sourceRegion`; the copy is filled after this.

    An instance snapshot is copied with all its parts, also an automatic one. A copy of a blueprint
    is a blueprint.
    """
    params = call.params
    name = check_name(params["targetSnapshotName"])
    source_region = params["sourceRegion"]
    if source_region not in backend.regions:
        raise InvalidInputException(
            f"The region {shown(source_region)} is not served here. "
            f"The regions are: {', '.join(backend.regions)}."
        )
    with backend.catalog.write() as transaction:
        source, details = _source(transaction, call, source_region)
        if not source.is_stored:
            raise OperationFailureException(
                f"You can't copy the snapshot {details} right now. "
                f"The state of this snapshot is: {source.state}"
            )
        if taken := transaction.names.taken(call.region, [name]):
            raise name_taken(taken)
        details = f"{source_region}:{details}"
        if isinstance(source, InstanceSnapshot):
            whole = _copy_of_instance(backend, call, source, name)
            transaction.instance_snapshots.add(whole)
            pairs = list(zip(whole.parts, source.parts, strict=True))
            ended = not pairs
            begun = [operations.begin(backend, call, whole, details=details, ended=ended)]
        else:
            if source.blueprint is not None:
                check_blueprint_id(name)
            copy = _copy(backend, call, source, name)
            transaction.snapshots.add(copy)
            pairs = [(copy, source)]
            begun = [operations.begin(backend, call, copy, details=details)]
        begun = _enqueue(backend, transaction, pairs, begun)
        return operations.reply(backend, transaction, call, begun)


def blueprint_of(
    backend: Backend,
    transaction: Transaction,
    call: Call,
    source: DiskSnapshot,
    blueprint_id: str,
    platform: Platform,
    tags: Tags,
) -> list[Operation]:
    """Record a blueprint: a copy of a snapshot of the same region, which is filled after this."""
    copy = _copy(backend, call, source, blueprint_id)
    copy = replace(copy, blueprint=platform, tags={**tags, **copy.tags})
    transaction.snapshots.add(copy)
    begun = [operations.begin(backend, call, copy, details=source.name)]
    return _enqueue(backend, transaction, [(copy, source)], begun)


def _enqueue(
    backend: Backend,
    transaction: Transaction,
    pairs: Sequence[tuple[DiskSnapshot, DiskSnapshot]],
    begun: list[Operation],
) -> list[Operation]:
    """Record a job for each copy and its source; the operations end with the last of them."""
    for copy, source in pairs:
        job = copying(copy, source, backend.ids.new_id(), backend.clock.now_ms())
        begun = operations.follow(transaction, job, begun)
    return begun


def _source(transaction: Transaction, call: Call, region: str) -> tuple[Snapshot, str]:
    """The snapshot to copy, and what the operation calls it."""
    params = call.params
    name, resource = params.get("sourceSnapshotName"), params.get("sourceResourceName")
    if bool(name) == bool(resource):
        raise InvalidInputException(
            "Give either sourceSnapshotName, or sourceResourceName for an automatic snapshot."
        )
    if resource:
        return find_auto_snapshot(transaction, region, resource, params), resource
    refuse_choice(params, "sourceResourceName", "sourceSnapshotName")
    return find_of_either_kind(transaction, region, str(name)), str(name)


def _copy(backend: Backend, call: Call, source: DiskSnapshot, name: str) -> DiskSnapshot:
    return DiskSnapshot(
        id=backend.ids.new_id(),
        region=call.region,
        name=name,
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("snap"),
        size_gb=source.size_gb,
        disk_id=source.disk_id,
        disk_name=source.disk_name,
        disk_zone=source.disk_zone,
        from_instance_id=source.from_instance_id,
        from_instance_name=source.from_instance_name,
        is_system=source.is_system,
        blueprint=source.blueprint,
        frozen=True,
        consistency=source.consistency,
        content_id=source.content,
        from_auto=source.from_auto or source.auto is not None,
        tags={} if source.consistency is None else {CONSISTENCY_TAG: source.consistency},
    )


def _copy_of_instance(
    backend: Backend, call: Call, source: InstanceSnapshot, name: str
) -> InstanceSnapshot:
    copy_id = backend.ids.new_id()
    kept: Tags = {key: value for key, value in source.tags.items() if key == CONSISTENCY_TAG}
    if not kept and source.consistency is not None:
        kept = {CONSISTENCY_TAG: source.consistency}
    parts = [
        replace(
            _copy(backend, call, part, part_name(name, part.disk_name)),
            part_of=copy_id,
            disk_path=part.disk_path,
            tags={},
        )
        for part in source.parts
    ]
    return replace(
        source,
        id=copy_id,
        region=call.region,
        name=name,
        created_ms=backend.clock.now_ms(),
        support_code=backend.support_code("ami"),
        parts=parts,
        from_auto=source.from_auto or source.auto is not None,
        auto=None,
        tags=kept,
    )
