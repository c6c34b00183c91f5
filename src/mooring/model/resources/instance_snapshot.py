"""An instance snapshot as a value: all attached disks of an instance at one instant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from mooring.model.automatic.rules import AutoSource
from mooring.model.resources.consistency import Consistency
from mooring.model.resources.disk import Attachment, Disk
from mooring.model.resources.instance import Instance, InstanceState
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.tags import Tags

EXTRA = "instance_snapshot"
"""What each part's root in the vault keeps of the whole, under this key; see `remembered`."""


class InstanceSnapshotState(StrEnum):
    """`available` means: every part is safe in the vault."""

    PENDING = "pending"
    AVAILABLE = "available"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSnapshot:
    """A snapshot of an instance. Times are milliseconds.

    `parts` are the snapshots of the disks that were attached, in the order in which these were
    made: what it holds, and how far it is, is what they hold and how far they are.
    `auto` says why it was taken automatically, None if it was not: then nobody gave it its name.
    `from_auto` says that it is a copy of one that was.
    """

    id: str
    region: str
    name: str
    created_ms: int
    support_code: str
    instance_id: str
    instance_name: str
    instance_zone: str
    blueprint_id: str
    bundle_id: str
    parts: Sequence[DiskSnapshot] = ()
    from_auto: bool = False
    auto: AutoSource | None = None
    tags: Tags = field(default_factory=dict)

    @property
    def has_name(self) -> bool:
        """Whether its name is one of the region's, by which clients find it."""
        return self.auto is None

    @property
    def resource_id(self) -> str:
        """What it was taken of."""
        return self.instance_id

    @property
    def members(self) -> Sequence[DiskSnapshot]:
        """The snapshots of disks that it consists of."""
        return self.parts

    @property
    def state(self) -> InstanceSnapshotState:
        states = {part.state for part in self.parts}
        if SnapshotState.ERROR in states:
            return InstanceSnapshotState.ERROR
        if SnapshotState.PENDING in states:
            return InstanceSnapshotState.PENDING
        return InstanceSnapshotState.AVAILABLE

    @property
    def is_pending(self) -> bool:
        return self.state is InstanceSnapshotState.PENDING

    @property
    def is_stored(self) -> bool:
        """Whether all of it is safe in the vault."""
        return self.state is InstanceSnapshotState.AVAILABLE

    @property
    def consistency(self) -> Consistency | None:
        """As good as the worst part; None if that of one is not known, or there is none."""
        known = [part.consistency for part in self.parts if part.consistency is not None]
        if len(known) < len(self.parts):
            return None
        return min(known, key=list(Consistency).index, default=None)

    @property
    def frozen(self) -> bool:
        """Whether the content is fixed: false only while the request is under way."""
        return all(part.frozen for part in self.parts)

    @property
    def progress(self) -> int:
        """Per cent; 100 only when all parts are stored."""
        if not self.parts:
            return 100
        return sum(part.progress for part in self.parts) // len(self.parts)

    @property
    def size_gb(self) -> int:
        """The sum of the disks' sizes."""
        return sum(part.size_gb for part in self.parts)


Snapshot = DiskSnapshot | InstanceSnapshot
"""What can be taken, copied and deleted as one."""


def in_motion(instance: Instance, disks: Sequence[Disk]) -> Instance | Disk | None:
    """What is just coming or going, so that it is not clear which disks a snapshot would hold.

    `disks` are all of the instance.
    """
    if instance.state not in (InstanceState.RUNNING, InstanceState.STOPPED):
        return instance
    return next((disk for disk in disks if disk.attachment is not Attachment.ATTACHED), None)


def part_name(snapshot_name: str, disk_name: str) -> str:
    """What a part is called. It is no valid name of a resource, so it takes nobody's."""
    return f"{snapshot_name}/{disk_name}"


def part(whole: InstanceSnapshot, disk: Disk, snapshot_id: str, support_code: str) -> DiskSnapshot:
    """The part that an attached disk becomes.

    Nobody says who may act on an automatic one: its parts keep the tags of their disks for that.
    """
    return DiskSnapshot(
        id=snapshot_id,
        region=whole.region,
        name=part_name(whole.name, disk.name),
        created_ms=whole.created_ms,
        support_code=support_code,
        size_gb=disk.size_gb,
        disk_id=disk.id,
        disk_name=disk.name,
        disk_zone=disk.zone,
        part_of=whole.id,
        disk_path=disk.path,
        is_system=disk.is_system,
        tags={} if whole.auto is None else disk.tags,
    )


def remembered(whole: InstanceSnapshot, one: DiskSnapshot) -> dict[str, str]:
    """What the root of a part keeps besides, so that the catalog can be rebuilt from roots."""
    left_out = ("parts", "tags", "auto", "from_auto")
    known = {name: value for name, value in asdict(whole).items() if name not in left_out}
    known["tags"] = dict(whole.tags)
    if whole.auto is not None:
        known["auto"] = whole.auto
    if whole.from_auto:
        known["from_auto"] = True
    known["disk_path"] = one.disk_path
    known["parts"] = [other.id for other in whole.parts]
    return {EXTRA: json.dumps(known, sort_keys=True)}


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the root of a part tells: the whole, without its parts; their ids; the disk's path."""

    whole: InstanceSnapshot
    part_ids: Sequence[str]
    disk_path: str | None


def recall(extra: Mapping[str, str]) -> Remembered | None:
    """Read what `remembered` wrote; None if the snapshot is no part, or a later version wrote."""
    try:
        known = json.loads(extra[EXTRA])
        path, part_ids = known.pop("disk_path"), known.pop("parts")
        auto = AutoSource(known.pop("auto")) if "auto" in known else None
        return Remembered(InstanceSnapshot(auto=auto, **known), part_ids, path)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return None
