"""A disk as a value, with its states."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from mooring.model.automatic.rules import AddOn
from mooring.model.tags import Tags

MAX_DISKS_PER_INSTANCE = 15
"""Besides the instance's own system disk (Lightsail's limit)."""


MAX_ANCESTORS = 100
"""How many of those that a disk descends from are known: forks of forks may go on for years."""

SHARED_TAG = "mooring:shared"
"""On a disk: `true` lets several processes use it at once, as a cluster's file system does."""


def is_shared(tags: Tags) -> bool:
    """Whether several processes may use the disk at once."""
    return tags.get(SHARED_TAG) == "true"


class DiskState(StrEnum):
    """What a disk is good for now. `pending`: being made; `error`: could not be made.

    `unknown` is never recorded: it is shown while the disk's zone is not in the settings.
    """

    PENDING = "pending"
    AVAILABLE = "available"
    IN_USE = "in-use"
    ERROR = "error"
    UNKNOWN = "unknown"


class Attachment(StrEnum):
    """How far an attachment is."""

    DETACHED = "detached"
    ATTACHING = "attaching"
    ATTACHED = "attached"
    DETACHING = "detaching"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A disk. `origin_id` is the snapshot that it was made from; times are milliseconds.

    `auto_mounting` says that whoever attached it wished it to be mounted.
    `is_system` says that it is the instance's own: made with it, never detached, deleted with it.
    `ancestors` are the ids of those that it descends from, nearest first: the disks that it is a
    fork of, and snapshots that it was made from. It can be reverted to those, and to their
    snapshots. `add_on` is that of automatic snapshots, None if it never was enabled. `host` is
    where its layers are, empty if there is only one host, or it is on none yet.
    """

    id: str
    region: str
    zone: str
    name: str
    created_ms: int
    support_code: str
    size_gb: int
    state: DiskState = DiskState.PENDING
    attachment: Attachment = Attachment.DETACHED
    instance_id: str | None = None
    instance_name: str | None = None
    path: str | None = None
    origin_id: str | None = None
    ancestors: tuple[str, ...] = ()
    auto_mounting: bool = False
    is_system: bool = False
    add_on: AddOn | None = None
    host: str = ""
    tags: Tags = field(default_factory=dict)

    def forked(self) -> tuple[str, ...]:
        """What a fork of it descends from."""
        return (self.id, *self.ancestors)[:MAX_ANCESTORS]

    def descends_from(self, snapshot_id: str, disk_id: str) -> bool:
        """Whether the snapshot, which is of that disk, is in its own line."""
        known = {self.id, self.origin_id, *self.ancestors}
        return snapshot_id in known or disk_id in known
