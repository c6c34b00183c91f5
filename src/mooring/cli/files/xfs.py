"""XFS."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dissect.xfs import XFS

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.inode_file_system import InodeFileSystem

LOCAL_FORMAT = 1
"""The format of an inode that holds its content itself."""


class XfsFileSystem(InodeFileSystem):
    """XFS as of its last checkpoint: the log is not replayed."""

    kind = "xfs"
    note = (
        "XFS keeps the latest changes in a log, which is not read: files changed in the last half "
        "minute before the snapshot may be missing or old. A disk made from the snapshot has them."
    )

    def __init__(self, stream: ExportStream) -> None:
        super().__init__(XFS(stream))

    def _owner(self, inode: Any) -> tuple[int, int, int]:
        raw = inode.inode
        return raw.di_mode, raw.di_uid, raw.di_gid

    def _is_inline(self, inode: Any) -> bool:
        return bool(inode.inode.di_format == LOCAL_FORMAT)

    def _runs(self, inode: Any) -> Iterable[tuple[Any, int]]:
        runs: Iterable[tuple[Any, int]] = inode.dataruns
        return runs
