"""What jobs are about: a class of arguments for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from mooring.model.resources.job_kind import JobKind

NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """The arguments of one kind of job. Ids are those of the catalog's rows.

    A class has to say what it reads: a snapshot is deleted under a reader that nobody knows of.
    """

    kind: ClassVar[JobKind]

    @property
    def reads(self) -> frozenset[str]:
        """The ids of the snapshots that are read: none is deleted before the job has ended."""
        raise NotImplementedError

    @property
    def at(self) -> str:
        """The id of the disk, or instance, on whose host the job is run; empty if on any."""
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OfDisk(Arguments):
    """What concerns a disk, and reads no snapshot unless it says so."""

    disk: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING

    @property
    def at(self) -> str:
        return self.disk


@dataclass(frozen=True, slots=True, kw_only=True)
class OfInstance(Arguments):
    """What concerns an instance, and reads no snapshot unless it says so."""

    instance: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING

    @property
    def at(self) -> str:
        return self.instance


@dataclass(frozen=True, slots=True, kw_only=True)
class OfSnapshot(Arguments):
    """What makes or deletes a snapshot; what it reads is another matter."""

    snapshot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OfVault(Arguments):
    """What keeps a region's vault. It looks after what it reads itself: by claims."""

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateDisk(OfDisk):
    kind = JobKind.CREATE_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowDisk(OfDisk):
    """The disk is to have `size_gb`."""

    kind = JobKind.GROW_DISK
    size_gb: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteDisk(OfDisk):
    kind = JobKind.DELETE_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSnapshot(OfDisk):
    """What brings a snapshot into a disk."""

    snapshot: str

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({self.snapshot})


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneDisk(FromSnapshot):
    kind = JobKind.CLONE_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class FillDisk(FromSnapshot):
    kind = JobKind.FILL_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkDisk(OfDisk):
    """`disk` is made of the disk `source` as it was at the frozen `point`; empty if not known.

    `snapshot` is that of the same instant, empty if there is none. `origin` is the snapshot that
    the disk `source` was still being filled from, empty if it was not.
    """

    kind = JobKind.FORK_DISK
    source: str
    point: str
    snapshot: str = ""
    origin: str = ""

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({self.origin} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class RevertDisk(OfDisk):
    """`disk` is reverted to `snapshot`; `point` is where it leaves what it held.

    `kept` says that this is a snapshot. `former` is the snapshot that the disk was being filled
    from, empty if it was not.
    """

    kind = JobKind.REVERT_DISK
    snapshot: str
    point: str
    kept: bool
    former: str = ""

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({self.snapshot, self.former} - {""})


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveDisks(Arguments):
    """`disks` come from the host `source`, by `snapshots`, which stand in the same order.

    `instance` has them attached, empty if it is one disk that is attached to nothing; with `start`
    it is to run there. `lost`: the host that they come from is.
    """

    kind = JobKind.MOVE_DISKS
    instance: str
    disks: tuple[str, ...]
    snapshots: tuple[str, ...]
    source: str
    lost: bool = False
    start: bool = False

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAttachment(OfInstance):
    """What attaches or detaches a disk."""

    disk: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachDisk(OfAttachment):
    kind = JobKind.ATTACH_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachDisk(OfAttachment):
    kind = JobKind.DETACH_DISK


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateInstance(OfInstance):
    kind = JobKind.CREATE_INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class StartInstance(OfInstance):
    kind = JobKind.START_INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class RebootInstance(OfInstance):
    kind = JobKind.REBOOT_INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class StopInstance(OfInstance):
    kind = JobKind.STOP_INSTANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteInstance(OfInstance):
    """`disks` are those that were attached: the instance is gone from the catalog.

    `own` are those of them that are gone from it, too, because they were the instance's own.
    """

    kind = JobKind.DELETE_INSTANCE
    disks: tuple[str, ...]
    own: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreInstance(OfInstance):
    """`disks` are made from `snapshots`, which stand in the same order."""

    kind = JobKind.RESTORE_INSTANCE
    disks: tuple[str, ...]
    snapshots: tuple[str, ...]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class Freeze(OfSnapshot):
    """An automatic snapshot, of a disk or an instance; `source` is why it is taken."""

    kind = JobKind.FREEZE
    source: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSnapshot(OfSnapshot):
    """Parents are read through the vault's own maps, and claimed there."""

    kind = JobKind.UPLOAD_SNAPSHOT
    disk: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING

    @property
    def at(self) -> str:
        return self.disk


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSnapshot(OfSnapshot):
    """`socket` is the path where the image is served, `export` its name there."""

    kind = JobKind.IMPORT_SNAPSHOT
    socket: str
    export: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class CopySnapshot(OfSnapshot):
    """`source` in `source_region` is copied; `disk` is the one that both are of."""

    kind = JobKind.COPY_SNAPSHOT
    disk: str
    source: str
    source_region: str

    @property
    def reads(self) -> frozenset[str]:
        return frozenset({self.source})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot(OfSnapshot):
    kind = JobKind.DELETE_SNAPSHOT
    disk: str

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING

    @property
    def at(self) -> str:
        return self.disk


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireSnapshots(Arguments):
    """What was stored and is kept no longer; `disks`, in the same order, are what they are of.

    `soon`: somebody waits for the room.
    """

    kind = JobKind.EXPIRE_SNAPSHOTS
    snapshots: tuple[str, ...]
    disks: tuple[str, ...]
    soon: bool = False

    @property
    def reads(self) -> frozenset[str]:
        return NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSnapshot(Arguments):
    """`record` is the export record; `snapshots` are those of its disks."""

    kind = JobKind.EXPORT_SNAPSHOT
    record: str
    snapshots: tuple[str, ...]

    @property
    def reads(self) -> frozenset[str]:
        return frozenset(self.snapshots)


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectVault(OfVault):
    kind = JobKind.COLLECT_VAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyVault(OfVault):
    """`percent` of the data is read back."""

    kind = JobKind.VERIFY_VAULT
    percent: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateVault(OfVault):
    kind = JobKind.REPLICATE_VAULT


ARGUMENTS: Mapping[JobKind, type[Arguments]] = {
    one.kind: one
    for one in (
        CreateDisk,
        CloneDisk,
        FillDisk,
        GrowDisk,
        ForkDisk,
        RevertDisk,
        DeleteDisk,
        MoveDisks,
        AttachDisk,
        DetachDisk,
        CreateInstance,
        StartInstance,
        RebootInstance,
        StopInstance,
        RestoreInstance,
        DeleteInstance,
        Freeze,
        UploadSnapshot,
        ImportSnapshot,
        CopySnapshot,
        ExportSnapshot,
        DeleteSnapshot,
        ExpireSnapshots,
        CollectVault,
        VerifyVault,
        ReplicateVault,
    )
}
"""The class of each kind."""
