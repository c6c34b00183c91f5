"""What uploads, copies and imports have in common: writing an image into the vault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mooring.host.rooms import of_vault
from mooring.jobs.running.procedure import Work
from mooring.jobs.running.progress import Progress
from mooring.model.errors import (
    CanceledError,
    LeaseLostError,
    PostponedError,
    SnapshotNotInVaultError,
)
from mooring.model.extents import Extent, Image
from mooring.model.resources.consistency import CONSISTENCY
from mooring.model.resources.instance_snapshot import remembered
from mooring.model.resources.job_arguments import OfSnapshot
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.resources.snapshot_origin import tell_origin

if TYPE_CHECKING:
    from mooring.vault.vault import Root, SnapshotInfo, SnapshotWriter

CHUNK = 4 * 1024 * 1024
"""Bytes read from the image at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, and what it adds to. `compare`: the parent may have it already.

    `consolidate`: the image is quick to read, so what has become scattered is written again.

    `extents` can be called again and again: a disk may have more ranges than fit in memory.
    """

    extents: Callable[[], Iterator[Extent]]
    parent: str | None
    compare: bool
    consolidate: bool = False


def pending_snapshot(work: Work) -> DiskSnapshot:
    """The snapshot that the job stores. Raises CanceledError if it was deleted."""
    with work.catalog.read() as transaction:
        snapshot = transaction.snapshots.by_id(work.given(OfSnapshot).snapshot)
    if snapshot is None:
        raise canceled(work)
    return snapshot


def information(snapshot: DiskSnapshot, size: int, extra: Mapping[str, str]) -> SnapshotInfo:
    """What the root keeps of the snapshot; `size` is that of the image in bytes."""
    from mooring.vault.vault import SnapshotInfo

    told = dict(extra)
    if snapshot.consistency is not None:
        told[CONSISTENCY] = snapshot.consistency
    told |= tell_origin(snapshot)
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
        extra=told,
    )


def extra_of_part(work: Work, snapshot: DiskSnapshot) -> dict[str, str]:
    """What the root of a part of an instance snapshot keeps of the whole; nothing for others.

    Raises CanceledError if the whole was deleted.
    """
    if snapshot.part_of is None:
        return {}
    with work.catalog.read() as transaction:
        whole = transaction.instance_snapshots.by_id(snapshot.part_of)
    if whole is None:
        raise canceled(work)
    return remembered(whole, snapshot)


def completed(work: Work) -> dict[str, Any]:
    """The columns of a snapshot that is completed now."""
    return {
        "state": SnapshotState.COMPLETED,
        "progress": 100,
        "completed_ms": work.backend.clock.now_ms(),
    }


def begin(work: Work, info: SnapshotInfo, plan: Plan) -> SnapshotWriter:
    """Start storing; raises PostponedError, to plan again, if the parent has just been deleted."""
    try:
        return work.vault.begin(info, plan.parent)
    except SnapshotNotInVaultError as error:
        raise PostponedError(f"the parent was deleted meanwhile: {error}") from error


def copy(work: Work, image: Image, plan: Plan, writer: SnapshotWriter) -> None:
    """Write what the plan says, telling the progress. Raises CanceledError as soon as it can.

    Raises DiskFullError before the vault has taken what disks in use need to continue.
    """

    total = sum(extent.length for extent in plan.extents() if not extent.zero)

    def tell(percent: int) -> None:
        # With the bytes, so that whoever watches sees them, too.
        known = {"progress": percent, "changed_bytes": total}
        with work.catalog.write(durable=False) as transaction:
            if not transaction.snapshots.change_if_there(work.given(OfSnapshot).snapshot, **known):
                raise canceled(work)
            transaction.jobs.check_held(work.job)

    progress = Progress(work, total, tell)
    done = 0
    extents = ((extent, False) for extent in plan.extents())
    for extent, again in writer.consolidated(plan.extents()) if plan.consolidate else extents:
        if extent.zero:
            writer.zero(extent.offset, extent.length)
            continue
        if again:
            writer.write_again(extent.offset, image.read(extent.offset, extent.length))
            continue
        for offset in range(extent.offset, extent.end, CHUNK):
            work.backend.rooms.check_going_on(of_vault(work.job.region))
            length = min(CHUNK, extent.end - offset)
            writer.write(offset, image.read(offset, length), compare=plan.compare)
            done += length
            progress.reached(done)


def commit(work: Work, writer: SnapshotWriter) -> Root:
    """Make the snapshot durable in the vault. Raises LeaseLostError if the job is not ours.

    Nothing stops a server that stands still between the question and the root. Whoever has the job
    then finds the root, or has written the same; but it may have ended the job, and the snapshot
    been deleted, before the root came.
    """
    work.check_held()
    root = writer.commit()
    try:
        work.check_held()
    except LeaseLostError:
        with work.catalog.read() as transaction:
            known = transaction.snapshots.by_id(writer.info.id)
        if known is None or known.state is SnapshotState.ERROR:
            work.vault.delete(writer.info.id)
        raise
    return root


def canceled(work: Work) -> CanceledError:
    """The error that ends the job of a snapshot that is gone."""
    return CanceledError(
        f"the snapshot {work.given(OfSnapshot).snapshot} was deleted while pending"
    )
