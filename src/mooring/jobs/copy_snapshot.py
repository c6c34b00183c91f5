"""Copying a snapshot, into another region's vault or the same one.

CopySnapshot answers while the copy is `pending`. Then, for each part of an instance snapshot:

    copy   read what the target lacks from the source's vault, write it, the root last
           undo: delete the root

and in the transaction that records this the copy becomes `completed`. The job has the target
region and the disk as its key, so that each copy of a disk finds the one before it. Killed
before the root is durable, it starts over; killed after, it finds the root.

The maps alone show what the target lacks if there is a *twin*: a snapshot in the source's
vault whose content the target has, as itself or as a copy. The nearest ancestor of the source is
looked for first, then the snapshot of the same disk that is nearest in time. Without a twin,
everything is read and compared with the newest snapshot of the disk that the target has.

Every frame is checked as it is read. The source may be deleted meanwhile: its root stays until
the job has ended (delete_snapshot.py), and a claim keeps what it names from being collected even
if something other than this server deletes it. A copy deleted while pending is noticed when
progress is next recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mooring.catalog.transaction import Transaction
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.jobs.storing import (
    Plan,
    begin,
    commit,
    completed,
    copy,
    extra_of_part,
    information,
    pending_snapshot,
)
from mooring.model.errors import DamageError, SnapshotNotInVaultError
from mooring.model.extents import BLOCK_SIZE, Extent, with_gaps
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import CopySnapshot
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.observe import metrics

if TYPE_CHECKING:
    from mooring.vault.vault import SnapshotInfo, SnapshotReader, Vault

MAX_ANCESTORS = 1000
"""How far back a twin is looked for among the source's ancestors."""


@dataclass(frozen=True, slots=True)
class Twin:
    """A snapshot that both vaults have: under these ids, with the same content."""

    source: str
    target: str


def copy_over(work: Work) -> Change:
    """Write the source's content to the target's vault."""
    snapshot = pending_snapshot(work)
    root = work.vault.confirm(snapshot.id)
    if root is None:
        vault = _source_vault(work)
        with ExitStack() as held:
            image = held.enter_context(vault.open(work.given(CopySnapshot).source, claim=True))
            plan = _plan(work, snapshot, vault, image, held)
            with begin(work, _info(work, snapshot, image), plan) as writer:
                copy(work, image, plan, writer)
                root = commit(work, writer)
    statistics, parent = root.statistics, root.parent
    metrics.snapshot_stored(statistics.changed_blocks * BLOCK_SIZE, statistics.stored_bytes)

    def change(transaction: Transaction) -> None:
        transaction.snapshots.change(
            snapshot.id,
            parent_id=parent,
            changed_bytes=statistics.changed_blocks * BLOCK_SIZE,
            stored_bytes=statistics.stored_bytes,
            **completed(work),
        )

    return change


def undo_copy(work: Work) -> None:
    """Leave nothing in the target's vault."""
    work.vault.delete(work.given(CopySnapshot).snapshot)


def failed(transaction: Transaction, job: Job) -> None:
    """The copy could not be made."""
    transaction.snapshots.change_if_there(
        job.given(CopySnapshot).snapshot, state=SnapshotState.ERROR
    )


def _plan(
    work: Work, snapshot: DiskSnapshot, vault: Vault, image: SnapshotReader, held: ExitStack
) -> Plan:
    found = _twin(work, snapshot, vault)
    if found is not None:
        try:
            before = held.enter_context(vault.open(found.source, claim=True))
            # To the end once, so that damage in the twin's map shows before anything is written.
            for _ in image.changes(before):
                pass
        except (DamageError, SnapshotNotInVaultError):
            pass
        else:
            return Plan(lambda: _kept(image.changes(before), before), found.target, compare=False)
    there = [one.id for one in _of_disk(work, snapshot, work.job.region)]
    parent = next((one for one in reversed(there) if work.vault.has(one)), None)
    if parent is None:
        return Plan(image.extents, None, compare=False)
    # What the source leaves out reads as zeros; the parent may hold data there.
    return Plan(lambda: with_gaps(image.extents(), image.size), parent, compare=True)


def _kept(extents: Iterator[Extent], before: SnapshotReader) -> Iterator[Extent]:
    """The extents; the claim on what they are counted from is renewed on the way."""
    for extent in extents:
        before.keep()
        yield extent


def _twin(work: Work, snapshot: DiskSnapshot, vault: Vault) -> Twin | None:
    """The nearest snapshot whose content both vaults have, no larger than the source."""
    with work.catalog.read() as transaction:
        source = transaction.snapshots.by_id(work.given(CopySnapshot).source)
        ancestors = list(_ancestors(transaction, work.given(CopySnapshot).source))
    nearest = sorted(
        _of_disk(work, snapshot, work.given(CopySnapshot).source_region),
        key=lambda one: abs(one.created_ms - (source or snapshot).created_ms),
    )
    for candidate in [*ancestors, *nearest]:
        if candidate.size_gb > snapshot.size_gb or not vault.has(candidate.id):
            continue
        with work.catalog.read() as transaction:
            holders = transaction.snapshots.with_content(work.job.region, candidate.content)
        for holder in holders:
            if work.vault.has(holder.id):
                return Twin(candidate.id, holder.id)
    return None


def _ancestors(transaction: Transaction, snapshot_id: str) -> Iterator[DiskSnapshot]:
    """The snapshot and those that it was built on, as far back as they are known."""
    next_id: str | None = snapshot_id
    for _ in range(MAX_ANCESTORS):
        found = transaction.snapshots.by_id(next_id) if next_id is not None else None
        if found is None:
            return
        yield found
        next_id = found.parent_id


def _of_disk(work: Work, snapshot: DiskSnapshot, region: str) -> list[DiskSnapshot]:
    """The region's completed snapshots of the disk, oldest first, no larger than the copy."""
    with work.catalog.read() as transaction:
        found = transaction.snapshots.of_disk(snapshot.disk_id, SnapshotState.COMPLETED)
    return [one for one in found if one.region == region and one.size_gb <= snapshot.size_gb]


def _source_vault(work: Work) -> Vault:
    return work.vault_of(work.given(CopySnapshot).source_region)


def _info(work: Work, snapshot: DiskSnapshot, image: SnapshotReader) -> SnapshotInfo:
    extra = extra_of_part(work, snapshot)
    extra |= {"content": snapshot.content, "source-region": work.given(CopySnapshot).source_region}
    if snapshot.from_auto:
        extra["from-auto"] = "yes"
    return information(snapshot, image.size, extra)


COPY = Procedure(JobKind.COPY_SNAPSHOT, (Step("copy", copy_over, undo_copy),), failed)
