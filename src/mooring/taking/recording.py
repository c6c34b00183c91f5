"""The catalog's record of a snapshot: reserved, confirmed or taken back, finally deleted."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import OperationFailureException
from mooring.model.ids import Ids
from mooring.model.resources.consistency import CONSISTENCY_TAG, Consistency
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot, part
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_jobs import deletion, expiry, uploading
from mooring.model.tags import Tags
from mooring.taking.attempt import given_up
from mooring.taking.verdict import Frozen

TOGETHER = 500
"""Snapshots that one job deletes: a step should not take longer than a few seconds."""

NO_TAGS: Mapping[str, str | None] = {}


def of_disk(
    backend: Backend,
    disk: Disk,
    name: str,
    now_ms: int,
    *,
    tags: Tags = NO_TAGS,
    auto: AutoSource | None = None,
    instance: Instance | None = None,
) -> DiskSnapshot:
    """A new snapshot of the disk as a value; `instance` is named if it stood for the disk."""
    return DiskSnapshot(
        id=backend.ids.new_id(),
        region=disk.region,
        name=name,
        created_ms=now_ms,
        support_code=backend.support_code("snap"),
        size_gb=disk.size_gb,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=disk.zone,
        from_instance_id=None if instance is None else instance.id,
        from_instance_name=None if instance is None else instance.name,
        is_system=disk.is_system,
        auto=auto,
        tags=tags,
    )


def of_instance(
    backend: Backend,
    instance: Instance,
    disks: Sequence[Disk],
    name: str,
    now_ms: int,
    *,
    tags: Tags = NO_TAGS,
    auto: AutoSource | None = None,
) -> InstanceSnapshot:
    """A new snapshot of the instance as a value, with a part for each of its disks."""
    whole = InstanceSnapshot(
        id=backend.ids.new_id(),
        region=instance.region,
        name=name,
        created_ms=now_ms,
        support_code=backend.support_code("ami"),
        instance_id=instance.id,
        instance_name=instance.name,
        instance_zone=instance.zone,
        blueprint_id=instance.blueprint_id,
        bundle_id=instance.bundle_id,
        auto=auto,
        tags=tags,
    )
    ids = backend.ids
    parts = [part(whole, disk, ids.new_id(), backend.support_code("snap")) for disk in disks]
    return replace(whole, parts=parts)


def has_too_many_pending(pending: Iterable[DiskSnapshot], limit: int) -> bool:
    """Whether a disk with these pending snapshots gets no further one; its copies do not count."""
    return sum(one.content_id is None for one in pending) >= limit


def reserve(transaction: Transaction, whole: Snapshot) -> None:
    """Record a snapshot that is to be frozen, and the jobs that store it: held until then.

    What waits for all of them waits for the job that has the snapshot's id.
    """
    transaction.enter(whole)
    for one in whole.members:
        transaction.jobs.add(uploading(one, whole.created_ms))


def confirm(transaction: Transaction, whole: Snapshot, frozen: Frozen | None) -> None:
    """Record that the snapshot was frozen, and let it be stored.

    `frozen` is None where nobody knows any more how. Raises OperationFailureException if the
    snapshot is not there any more, or was given up: a reply says only what a transaction has
    recorded.
    """
    for one in whole.members:
        changed = {} if frozen is None else _columns(frozen, one)
        if not transaction.snapshots.change_if_there(one.id, frozen=True, **changed):
            raise OperationFailureException(
                f"The snapshot {one.name} was taken back while the disk was being frozen, because "
                "a server that started found it unconfirmed: take it again."
            )
    if frozen is not None and whole.auto is None:
        transaction.tags.replace(whole.id, {**whole.tags, CONSISTENCY_TAG: frozen.weakest})
    if transaction.jobs.confirm(whole.id):
        return
    # All is stored already, or this host was fenced while it stood still.
    for one in whole.members:
        found = transaction.snapshots.by_id(one.id)
        if found is not None and found.state is SnapshotState.ERROR:
            raise given_up(f"The snapshot {whole.name}")


def take_back(transaction: Transaction, whole: Snapshot) -> None:
    """Forget a snapshot that was not frozen, with its jobs and operations."""
    _forget(transaction, whole)
    transaction.operations.remove_of_job(whole.id)
    transaction.jobs.remove_all(whole.id)


def discard(transaction: Transaction, snapshot: Snapshot, ids: Ids, now_ms: int) -> None:
    """Forget a snapshot, and record the jobs that remove it from the vault."""
    _forget(transaction, snapshot)
    for one in snapshot.members:
        transaction.jobs.add(deletion(one, ids.new_id(), now_ms))


def discard_automatic(
    transaction: Transaction,
    snapshots: Sequence[Snapshot],
    ids: Ids,
    now_ms: int,
    *,
    soon: bool = False,
) -> None:
    """Forget automatic snapshots of one disk or instance, and have those stored deleted together.

    `soon`: somebody waits for the room.
    """
    stored = [one for one in snapshots if one.is_stored]
    for snapshot in stored:
        _forget(transaction, snapshot)
    members = [one for snapshot in stored for one in snapshot.members]
    for start in range(0, len(members), TOGETHER):
        some = members[start : start + TOGETHER]
        transaction.jobs.add(expiry(some, ids.new_id(), now_ms, soon=soon))
    for snapshot in snapshots:
        if not snapshot.is_stored:
            discard(transaction, snapshot, ids, now_ms)


def _forget(transaction: Transaction, snapshot: Snapshot) -> None:
    if isinstance(snapshot, InstanceSnapshot):
        transaction.instance_snapshots.remove(snapshot)
    else:
        transaction.snapshots.remove(snapshot)


def _columns(frozen: Frozen, one: DiskSnapshot) -> dict[str, object]:
    kind = frozen.kinds[one.disk_id]
    rest = frozen.rest_seconds
    return {
        # Rounded up: a pause is never called shorter than it was.
        "pause_us": math.ceil(frozen.pause_seconds * 1e6),
        "rest_us": None if rest is None else math.ceil(rest * 1e6),
        "consistency": kind,
        "rest_problem": frozen.problem if kind is Consistency.CRASH else "",
    }
