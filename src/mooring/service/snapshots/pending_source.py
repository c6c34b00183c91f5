"""A disk of a pending snapshot: a fork of the point that is being stored."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import OperationFailureException
from mooring.model.resources.disk import Disk
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.taking.forking import Fork, Instant

SETTING = "snapshots.disks_of_pending"


def check_source(backend: Backend, snapshot: DiskSnapshot, name: str) -> None:
    """Raise unless a disk can be made of the snapshot now, which errors call `name`.

    Of a pending one that is if the settings say so, and the disk that it was taken of is here.
    """
    if snapshot.state is SnapshotState.COMPLETED:
        return
    hint = ""
    if snapshot.state is SnapshotState.PENDING:
        hint = (
            ". For a disk as that disk is now, at once, use mooring fork; to make disks of pending "
            f"snapshots, have {SETTING} = true in the settings"
        )
        if backend.disks_of_pending:
            if snapshot.frozen and snapshot.content_id is None:
                return
            hint = ", and it is not being taken of a disk here. Please wait until it is completed"
    raise OperationFailureException(
        f"You can't create a disk from the snapshot {name} right now. "
        f"The state of this snapshot is: {snapshot.state}{hint}"
    )


def fork_of_pending(backend: Backend, snapshot: DiskSnapshot, name: str, made: Disk) -> Fork:
    """The disk as a fork of the snapshot's point. Raises OperationFailureException."""
    if made.zone != snapshot.disk_zone:
        raise OperationFailureException(
            f"You can't create a disk from the snapshot {name} in {made.zone} right now. "
            f"The state of this snapshot is: {snapshot.state}, and until it is completed disks can "
            f"be made of it in {snapshot.disk_zone} only, where its content is."
        )
    backend.engine(made)
    return Fork(snapshot, [made], Instant.GIVEN)
