"""The one table of procedures: each kind of job and its steps."""

from mooring.jobs import (
    attachments,
    delete_snapshot,
    disks,
    fill_disk,
    import_snapshot,
    keep_vault,
    restore_instance,
    upload_snapshot,
)
from mooring.jobs.procedure import Procedure
from mooring.model.job import JobKind

_ALL = (
    disks.CREATE,
    disks.CLONE,
    disks.DELETE,
    fill_disk.FILL,
    attachments.ATTACH,
    attachments.DETACH,
    attachments.CREATE,
    restore_instance.RESTORE,
    attachments.START,
    attachments.STOP,
    attachments.REBOOT,
    attachments.DELETE,
    upload_snapshot.UPLOAD,
    import_snapshot.IMPORT,
    delete_snapshot.DELETE,
    keep_vault.COLLECT,
    keep_vault.VERIFY,
    keep_vault.REPLICATE,
)

PROCEDURES: dict[JobKind, Procedure] = {procedure.kind: procedure for procedure in _ALL}
