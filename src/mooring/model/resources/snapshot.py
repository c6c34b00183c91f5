"""A disk snapshot as a value, with its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mooring.model.automatic.rules import AutoSource
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.own_blueprint import Platform
from mooring.model.tags import Tags


class SnapshotState(StrEnum):
    """`completed` means: safe in the vault."""

    PENDING = "pending"
    COMPLETED = "completed"
    ERROR = "error"


class Lost(StrEnum):
    """What is thought of a snapshot that was completed and has no root any more."""

    MISSING = "missing"
    """It may come back; nothing is collected as long as one is missing."""
    GIVEN_UP = "given-up"
    """Somebody has said that it will not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskSnapshot:
    """A snapshot of a disk. Times are milliseconds, `*_bytes` bytes, `pause_us` microseconds.

    One made from an image file has no disk: its `disk_name` and `disk_zone` are empty, and its
    `disk_id` is its own id.

    `frozen` says that the disk's content is fixed: false only while the request is under way.
    `consistency` is None where it is not known, because the server was killed meanwhile; its users
    were at rest for `rest_us`, or were not because of `rest_problem`.
    `parent_id` is the snapshot whose map it was built on, None if it was stored in full.
    `part_of` is the instance snapshot that it is a part of, if it is; then `disk_path` is where
    the instance had the disk.
    `from_instance_id` is the instance by which it was asked for, if it was: then the disk was the
    instance's system disk. `is_system` says that the disk was an instance's own.
    `blueprint` says that instances can be made of it, for which platform; its name is the
    blueprint's id then.
    `content_id` is, for a copy, the snapshot that was taken of the disk, however many copies lie
    between; `from_auto` says that it was an automatic one. `auto` says why this one was taken
    automatically, None if it was not: then nobody gave it its name.
    `lost` says that it was completed and its root is gone from the vault: it is in `error` then.
    """

    id: str
    region: str
    name: str
    created_ms: int
    support_code: str
    size_gb: int
    disk_id: str
    disk_name: str
    disk_zone: str
    state: SnapshotState = SnapshotState.PENDING
    frozen: bool = False
    progress: int = 0
    pause_us: int | None = None
    consistency: Consistency | None = None
    rest_us: int | None = None
    rest_problem: str = ""
    parent_id: str | None = None
    changed_bytes: int | None = None
    stored_bytes: int | None = None
    completed_ms: int | None = None
    part_of: str | None = None
    disk_path: str | None = None
    from_instance_id: str | None = None
    from_instance_name: str | None = None
    is_system: bool = False
    blueprint: Platform | None = None
    content_id: str | None = None
    from_auto: bool = False
    auto: AutoSource | None = None
    lost: Lost | None = None
    tags: Tags = field(default_factory=dict)

    @property
    def has_name(self) -> bool:
        """Whether its name is one of the region's, by which clients find it."""
        return self.part_of is None and self.auto is None

    @property
    def resource_id(self) -> str:
        """What it was taken of."""
        return self.disk_id

    @property
    def members(self) -> Sequence[DiskSnapshot]:
        """The snapshots of disks that it consists of: itself."""
        return (self,)

    @property
    def is_pending(self) -> bool:
        return self.state is SnapshotState.PENDING

    @property
    def is_stored(self) -> bool:
        """Whether all of it is safe in the vault."""
        return self.state is SnapshotState.COMPLETED

    @property
    def content(self) -> str:
        """Alike for snapshots that hold the same because they are copies."""
        return self.content_id or self.id
