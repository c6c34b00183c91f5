"""The one table of procedures: each kind of job and its steps."""

from mooring.jobs import (
    attachments,
    copy_snapshot,
    delete_snapshot,
    disks,
    export_snapshot,
    fill_disk,
    import_snapshot,
    keep_vault,
    restore_instance,
    upload_snapshot,
)
from mooring.jobs.automatic.expire_snapshots import EXPIRE
from mooring.jobs.automatic.freeze import FREEZE
from mooring.jobs.live import fork_disk, grow_disk, move_disks, revert_disk
from mooring.jobs.running.procedure import Procedure
from mooring.model.resources.job_kind import JobKind

_ALL = (
    disks.CREATE,
    disks.CLONE,
    disks.DELETE,
    fill_disk.FILL,
    grow_disk.GROW,
    fork_disk.FORK,
    revert_disk.REVERT,
    move_disks.MOVE,
    attachments.ATTACH,
    attachments.DETACH,
    attachments.CREATE,
    restore_instance.RESTORE,
    attachments.START,
    attachments.STOP,
    attachments.REBOOT,
    attachments.DELETE,
    FREEZE,
    upload_snapshot.UPLOAD,
    import_snapshot.IMPORT,
    copy_snapshot.COPY,
    export_snapshot.EXPORT,
    delete_snapshot.DELETE,
    EXPIRE,
    keep_vault.COLLECT,
    keep_vault.VERIFY,
    keep_vault.REPLICATE,
)

PROCEDURES: dict[JobKind, Procedure] = {procedure.kind: procedure for procedure in _ALL}
