"""Making a snapshot from an image that the caller serves.

`mooring import` serves an image file, read-only, over NBD on a Unix socket in a folder that the
server has offered for it, so the server only sees what that process may read. The
snapshot is recorded as pending. Then:

    store      read the image, write it to the vault, the root last      undo: delete the root
    complete   say that the snapshot is completed

Killed before the root is durable, `store` starts over; killed after, it finds the root and
continues. When the image can no longer be read, for example because `mooring import` was killed,
the snapshot is removed from the catalog, and its operation says why. So it is when the server is
gone on whose host the image was: then another one has the job. A snapshot deleted meanwhile is
noticed when progress is next recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from mooring.catalog.transaction import Transaction
from mooring.host.rooms import of_vault
from mooring.jobs.running.procedure import Change, Procedure, Step, Work
from mooring.jobs.running.progress import Progress
from mooring.jobs.storing import canceled, commit, completed, information, pending_snapshot
from mooring.model.errors import ImageUnreadableError, NbdError, NbdRequestError
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.job import Job
from mooring.model.resources.job_arguments import ImportSnapshot
from mooring.model.resources.job_kind import JobKind
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.sizes import size_in_bytes
from mooring.nbd.protocol import STATUS_ZERO
from mooring.nbd.uri import NbdUri
from mooring.observe import metrics

if TYPE_CHECKING:
    from mooring.nbd.blocking import BlockingNbdClient
    from mooring.vault.vault import Root, SnapshotWriter

CHUNK = 2 * 1024 * 1024
"""Bytes read from the image at once."""

AHEAD = 4
"""Reads in flight."""

WINDOW = 256 * 1024 * 1024
"""The range whose extents are asked for at once: a hostile image may have many."""

READ_SECONDS = 60.0
"""How long a read, or a look at what a window holds, may take before the image counts as gone."""


def store(work: Work) -> Change:
    """Write the image to the vault."""
    snapshot = pending_snapshot(work)
    root = work.vault.confirm(snapshot.id)
    if root is None:
        root = _store(work, snapshot)
    statistics = root.statistics
    changed_bytes = statistics.changed_blocks * BLOCK_SIZE
    metrics.snapshot_stored(changed_bytes, statistics.stored_bytes)

    def change(transaction: Transaction) -> None:
        transaction.snapshots.change(
            snapshot.id, changed_bytes=changed_bytes, stored_bytes=statistics.stored_bytes
        )

    return change


def undo_store(work: Work) -> None:
    """Leave nothing in the vault."""
    work.vault.delete(work.given(ImportSnapshot).snapshot)


def complete(work: Work) -> Change:
    """Say that the snapshot is completed."""

    def change(transaction: Transaction) -> None:
        transaction.snapshots.change(work.given(ImportSnapshot).snapshot, **completed(work))

    return change


def failed(transaction: Transaction, job: Job) -> None:
    """There will be no snapshot; the operation tells why."""
    snapshot = transaction.snapshots.by_id(job.given(ImportSnapshot).snapshot)
    if snapshot is not None:
        transaction.snapshots.remove(snapshot)


def _store(work: Work, snapshot: DiskSnapshot) -> Root:
    from mooring.nbd.blocking import BlockingNbdClient

    given = work.given(ImportSnapshot)
    if not work.job.server and work.catalog.is_for_many and not Path(given.socket).exists():
        raise ImageUnreadableError("the server that read the image is gone")
    size = size_in_bytes(snapshot.size_gb)
    info = information(snapshot, size, {})
    try:
        uri = NbdUri(given.export, socket=given.socket)
        with (
            BlockingNbdClient(uri, same_user=True, patience=READ_SECONDS) as image,
            work.vault.begin(info) as writer,
        ):
            if image.info.size > size:
                raise ImageUnreadableError(
                    f"the image has {image.info.size} bytes, but {size} were requested"
                )
            _copy(work, image, writer)
            return commit(work, writer)
    except NbdRequestError as error:
        raise ImageUnreadableError(f"the image cannot be read: {error}") from error
    except NbdError as error:
        raise NbdError(f"the image is no longer served: {error}") from error


def _copy(work: Work, image: BlockingNbdClient, writer: SnapshotWriter) -> None:
    def tell(percent: int) -> None:
        with work.catalog.write() as transaction:
            rows = transaction.snapshots
            if not rows.change_if_there(work.given(ImportSnapshot).snapshot, progress=percent):
                raise canceled(work)
            transaction.jobs.check_held(work.job)

    progress = Progress(work, image.info.size, tell)
    window: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(AHEAD, "import") as readers:
        try:
            for offset, length in _wanted(image):
                work.backend.rooms.check_going_on(of_vault(work.job.region))
                window.append((offset, readers.submit(image.read, offset, length)))
                if len(window) == AHEAD:
                    _write(*window.popleft(), writer)
                    progress.reached(offset)
            while window:
                _write(*window.popleft(), writer)
            tell(99)
        except BaseException:
            # So that no reader waits for a server that does not answer.
            image.close()
            raise


def _write(offset: int, future: Future[bytes], writer: SnapshotWriter) -> None:
    data = future.result()
    # Only the last piece may end within a block.
    writer.write(offset, data + bytes(-len(data) % BLOCK_SIZE))


def _wanted(image: BlockingNbdClient) -> Iterator[tuple[int, int]]:
    """Ranges that hold data; they begin at whole blocks, and end there or with the image."""
    size, reached = image.info.size, 0
    for start in range(0, size, WINDOW):
        for offset, extent in image.map(offset=start, length=min(WINDOW, size - start)):
            if extent.flags & STATUS_ZERO:
                continue
            begin = max(reached, offset - offset % BLOCK_SIZE)
            end = offset + extent.length
            reached = min(end + -end % BLOCK_SIZE, size)
            for at in range(begin, reached, CHUNK):
                yield at, min(CHUNK, reached - at)


IMPORT = Procedure(
    JobKind.IMPORT_SNAPSHOT,
    (Step("store", store, undo_store), Step("complete", complete)),
    failed,
)
