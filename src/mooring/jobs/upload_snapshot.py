"""Storing a frozen point in the vault: what makes a pending snapshot completed.

CreateDiskSnapshot answers as soon as the disk's content is fixed. The job has the disk's id as
key, so the snapshots of one disk are stored in the order in which they were taken, and each
finds the one before it as its parent.

    store     read what changed since the parent, write it to the vault, the root last
              undo: delete the root, let the frozen point go
    release   tell the engine that the point is stored; its layers merge into the base

With `release` the snapshot becomes `completed`. Killed before the root is durable, `store`
begins anew, and what it had written is collected; killed after, it finds the root and goes on.

The parent is the newest completed snapshot from which the engine can still count the changes.
If there is none, everything is read and compared with the newest completed snapshot at hand:
that costs time, but stores nothing twice and cannot be wrong.

A snapshot deleted while pending is noticed at the next telling of progress.

CreateInstanceSnapshot begins one such job for each attached disk; their roots also keep what is
known of the whole, so that it can be found again without a catalog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from mooring.catalog.database import Transaction
from mooring.engine.interface import FrozenImage
from mooring.jobs.procedure import Change, Procedure, Step, Work
from mooring.jobs.progress import Progress
from mooring.model.errors import CanceledError, LineageLostError
from mooring.model.extents import BLOCK_SIZE, Extent
from mooring.model.instance_snapshot import remembered
from mooring.model.job import Job, JobKind
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.observe import metrics
from mooring.vault.root import SnapshotInfo
from mooring.vault.writer import SnapshotWriter

CHUNK = 4 * 1024 * 1024
"""Bytes read from the disk at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, and what it adds to. `compare`: the parent may have it already.

    `extents` can be called again and again: a disk may have more ranges than fit in memory.
    """

    extents: Callable[[], Iterator[Extent]]
    parent: str | None
    compare: bool


def store(work: Work) -> Change:
    """Write the frozen point to the vault."""
    snapshot = _snapshot(work)
    root = work.vault.confirm(snapshot.id)
    if root is None:
        image = work.engine.open_point(snapshot.disk_id, snapshot.id)
        try:
            plan = _plan(work, snapshot, image)
            info = _info(snapshot, image.size, _extra(work, snapshot))
            with work.vault.begin(info, plan.parent) as writer:
                _copy(work, image, plan, writer)
                root = writer.commit()
        finally:
            image.close()
    statistics, parent = root.statistics, root.parent
    changed_bytes = statistics.changed_blocks * BLOCK_SIZE
    metrics.snapshot_stored(changed_bytes, statistics.stored_bytes)

    def change(transaction: Transaction) -> None:
        transaction.snapshots.change(
            snapshot.id,
            parent_id=parent,
            changed_bytes=changed_bytes,
            stored_bytes=statistics.stored_bytes,
        )

    return change


def undo_store(work: Work) -> None:
    """Leave nothing in the vault, and let the engine forget the point."""
    work.vault.delete(work.argument("snapshot"))
    work.engine.release(work.argument("disk"), work.argument("snapshot"), stored=False)


def release(work: Work) -> Change:
    """Let the layers merge; say that the snapshot is completed."""
    work.engine.release(work.argument("disk"), work.argument("snapshot"), stored=True)

    def change(transaction: Transaction) -> None:
        transaction.snapshots.change(
            work.argument("snapshot"),
            state=SnapshotState.COMPLETED,
            progress=100,
            completed_ms=work.tools.clock.now_ms(),
        )

    return change


def failed(transaction: Transaction, job: Job) -> None:
    """The snapshot could not be stored."""
    transaction.snapshots.change(job.arguments["snapshot"], state=SnapshotState.ERROR)


def _plan(work: Work, snapshot: DiskSnapshot, image: FrozenImage) -> Plan:
    candidates = _ancestors(work, snapshot)
    known = set(work.engine.points(snapshot.disk_id))
    for ancestor in candidates:
        if ancestor in known:
            try:
                next(image.changes(ancestor), None)
            except LineageLostError:
                break
            return Plan(partial(image.changes, ancestor), ancestor, compare=False)
    if not candidates:
        return Plan(image.extents, None, compare=False)
    # What the disk leaves out reads as zeros; the parent may hold data there.
    return Plan(lambda: _with_gaps(image.extents(), image.size), candidates[0], compare=True)


def _ancestors(work: Work, snapshot: DiskSnapshot) -> list[str]:
    """Completed snapshots that the disk's content comes from, the newest first."""
    with work.catalog.read() as transaction:
        completed = transaction.snapshots.of_disk(snapshot.disk_id, SnapshotState.COMPLETED)
        disk = transaction.disks.by_id(snapshot.disk_id)
    ids = [one.id for one in reversed(completed)]
    if disk is not None and disk.origin_id is not None:
        ids.append(disk.origin_id)
    return [one for one in ids if work.vault.has(one)]


def _with_gaps(extents: Iterable[Extent], size: int) -> Iterator[Extent]:
    """The extents, and as zeros what lies between them."""
    end = 0
    for extent in extents:
        if extent.offset > end:
            yield Extent(end, extent.offset - end, zero=True)
        yield extent
        end = extent.end
    if end < size:
        yield Extent(end, size - end, zero=True)


def _copy(work: Work, image: FrozenImage, plan: Plan, writer: SnapshotWriter) -> None:
    def record(**columns: int) -> None:
        with work.catalog.write() as transaction:
            if not transaction.snapshots.change(work.argument("snapshot"), **columns):
                raise _canceled(work)

    def tell(percent: int) -> None:
        record(progress=percent)

    total = sum(extent.length for extent in plan.extents() if not extent.zero)
    # Known from now on, so that whoever watches sees bytes, too.
    record(changed_bytes=total)
    progress = Progress(work.tools.clock, total, tell)
    done = 0
    for extent in plan.extents():
        if extent.zero:
            writer.zero(extent.offset, extent.length)
            continue
        for offset in range(extent.offset, extent.end, CHUNK):
            length = min(CHUNK, extent.end - offset)
            writer.write(offset, image.read(offset, length), compare=plan.compare)
            done += length
            progress.reached(done)


def _snapshot(work: Work) -> DiskSnapshot:
    with work.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_id(work.argument("snapshot"))
    if snapshot is None:
        raise _canceled(work)
    return snapshot


def _canceled(work: Work) -> CanceledError:
    return CanceledError(f"the snapshot {work.argument('snapshot')} was deleted while pending")


def _extra(work: Work, snapshot: DiskSnapshot) -> dict[str, str]:
    """What the root of a part of an instance snapshot keeps of the whole."""
    if snapshot.part_of is None:
        return {}
    with work.catalog.read() as transaction:
        whole = transaction.instance_snapshots.by_id(snapshot.part_of)
    if whole is None:
        raise _canceled(work)
    return remembered(whole, snapshot)


def _info(snapshot: DiskSnapshot, size: int, extra: dict[str, str]) -> SnapshotInfo:
    return SnapshotInfo(
        id=snapshot.id,
        name=snapshot.name,
        region=snapshot.region,
        disk_id=snapshot.disk_id,
        disk_name=snapshot.disk_name,
        size=size,
        created_ms=snapshot.created_ms,
        tags=dict(snapshot.tags),
        disk_zone=snapshot.disk_zone,
        support_code=snapshot.support_code,
        extra=extra,
    )


UPLOAD = Procedure(
    JobKind.UPLOAD_SNAPSHOT, (Step("store", store, undo_store), Step("release", release)), failed
)
