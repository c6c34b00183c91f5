"""A job as a value: work after the reply that survives a restart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class JobKind(StrEnum):
    """One procedure in jobs/ for each."""

    CREATE_DISK = "create_disk"
    CLONE_DISK = "clone_disk"
    FILL_DISK = "fill_disk"
    DELETE_DISK = "delete_disk"
    ATTACH_DISK = "attach_disk"
    DETACH_DISK = "detach_disk"
    CREATE_INSTANCE = "create_instance"
    START_INSTANCE = "start_instance"
    REBOOT_INSTANCE = "reboot_instance"
    STOP_INSTANCE = "stop_instance"
    RESTORE_INSTANCE = "restore_instance"
    DELETE_INSTANCE = "delete_instance"
    FREEZE = "freeze"
    UPLOAD_SNAPSHOT = "upload_snapshot"
    IMPORT_SNAPSHOT = "import_snapshot"
    COPY_SNAPSHOT = "copy_snapshot"
    EXPORT_SNAPSHOT = "export_snapshot"
    DELETE_SNAPSHOT = "delete_snapshot"
    COLLECT_VAULT = "collect_vault"
    VERIFY_VAULT = "verify_vault"
    REPLICATE_VAULT = "replicate_vault"


BULK = frozenset(
    {
        JobKind.UPLOAD_SNAPSHOT,
        JobKind.IMPORT_SNAPSHOT,
        JobKind.COPY_SNAPSHOT,
        JobKind.COLLECT_VAULT,
        JobKind.VERIFY_VAULT,
    }
)
"""Jobs that move a disk's data. They have threads of their own, so that none of the rest waits."""

FILLING = frozenset({JobKind.FILL_DISK, JobKind.EXPORT_SNAPSHOT, JobKind.REPLICATE_VAULT})
"""Jobs that may take hours; neither snapshots nor anything quick waits for them."""


READS: Mapping[JobKind, str | None] = {
    JobKind.CREATE_DISK: None,
    JobKind.CLONE_DISK: "snapshot",
    JobKind.FILL_DISK: "snapshot",
    JobKind.DELETE_DISK: None,
    JobKind.ATTACH_DISK: None,
    JobKind.DETACH_DISK: None,
    JobKind.CREATE_INSTANCE: None,
    JobKind.START_INSTANCE: None,
    JobKind.REBOOT_INSTANCE: None,
    JobKind.STOP_INSTANCE: None,
    JobKind.RESTORE_INSTANCE: "snapshots",
    JobKind.DELETE_INSTANCE: None,
    JobKind.FREEZE: None,
    JobKind.UPLOAD_SNAPSHOT: None,
    JobKind.IMPORT_SNAPSHOT: None,
    JobKind.COPY_SNAPSHOT: "source",
    JobKind.EXPORT_SNAPSHOT: "snapshots",
    JobKind.DELETE_SNAPSHOT: None,
    JobKind.COLLECT_VAULT: None,
    JobKind.VERIFY_VAULT: None,
    JobKind.REPLICATE_VAULT: None,
}
"""The argument that names the snapshots which a job of that kind reads from a vault, if any.

Every kind stands here: a snapshot is deleted under a reader that nobody knows of.
"""

READING = tuple(kind for kind, argument in READS.items() if argument is not None)


LONGEST_WAIT_MS = 3_600_000
"""No job waits longer than this: one due later was put back before the clock was set back."""

HELD_MS = 2**62
"""The `not_before_ms` of a job that waits for its request to be confirmed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. Jobs with the same `key` run one after the other, in the order of their making.

    `step` counts the steps that are done; `attempts` the tries of the present one. Operations
    that wait for several jobs wait for the `group` that these have in common.
    """

    id: str
    kind: JobKind
    key: str
    region: str
    created_ms: int
    arguments: Mapping[str, str] = field(default_factory=dict)
    step: int = 0
    attempts: int = 0
    not_before_ms: int = 0
    undoing: bool = False
    error_code: str | None = None
    error_details: str | None = None
    group: str | None = None

    @property
    def reads(self) -> frozenset[str]:
        """The ids of the snapshots that it reads: none of them is deleted before it has ended."""
        argument = READS[self.kind]
        return frozenset() if argument is None else frozenset(self.arguments[argument].split(","))

    @property
    def waited_for(self) -> str:
        """What stands in the operations that end with this job, or with the last of its group."""
        return self.group or self.id
