"""ext2, ext3 and ext4."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dissect.extfs import ExtFS

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.ext_journal import Journal
from mooring.cli.files.inode_file_system import InodeFileSystem

RECOVER = 4
"""The feature bit: the journal holds what has not been written to its place yet."""

INLINE_DATA = 0x10000000
"""The inode flag: the content lies in the inode."""


class ExtFileSystem(InodeFileSystem):
    """With what is in the journal only."""

    kind = "ext4"
    note = ""

    def __init__(self, stream: ExportStream) -> None:
        inner = ExtFS(stream)
        number = inner.sb.s_journal_inum
        if inner.sb.s_feature_incompat & RECOVER and number:
            journal = Journal(inner.get_inode(number).open())
            if journal.blocks and journal.block_size == inner.block_size:
                stream.change(journal.blocks, journal.block_size)
                inner = ExtFS(stream)
        super().__init__(inner)

    def _owner(self, inode: Any) -> tuple[int, int, int]:
        raw = inode.inode
        return raw.i_mode, raw.i_uid | raw.i_uid_high << 16, raw.i_gid | raw.i_gid_high << 16

    def _is_inline(self, inode: Any) -> bool:
        return bool(inode.inode.i_flags & INLINE_DATA)

    def _runs(self, inode: Any) -> Iterable[tuple[Any, int]]:
        runs: Iterable[tuple[Any, int]] = inode.dataruns()
        return runs
