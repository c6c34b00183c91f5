"""The kinds of jobs, and which threads run them."""

from __future__ import annotations

from enum import StrEnum


class JobKind(StrEnum):
    """One procedure in jobs/ for each."""

    CREATE_DISK = "create_disk"
    CLONE_DISK = "clone_disk"
    FILL_DISK = "fill_disk"
    GROW_DISK = "grow_disk"
    FORK_DISK = "fork_disk"
    REVERT_DISK = "revert_disk"
    DELETE_DISK = "delete_disk"
    MOVE_DISKS = "move_disks"
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
    EXPIRE_SNAPSHOTS = "expire_snapshots"
    COLLECT_VAULT = "collect_vault"
    VERIFY_VAULT = "verify_vault"
    REPLICATE_VAULT = "replicate_vault"


AT_SERVER = frozenset({JobKind.IMPORT_SNAPSHOT, JobKind.EXPORT_SNAPSHOT})
"""Jobs of the server that was asked for them: they read a socket, or write a directory, there."""

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

FILLING = frozenset(
    {JobKind.FILL_DISK, JobKind.FORK_DISK, JobKind.EXPORT_SNAPSHOT, JobKind.REPLICATE_VAULT}
)
"""Jobs that may take hours; neither snapshots nor anything quick waits for them."""

DELETING = frozenset({JobKind.DELETE_SNAPSHOT, JobKind.EXPIRE_SNAPSHOTS})
"""Jobs that have nothing to do but in vaults, which may answer late, and that nobody waits for."""
