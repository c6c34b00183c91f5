"""FAT12, FAT16 and FAT32; the reading itself is dissect's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from dissect.fat import FATFS

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import Node
from mooring.model.errors import CommandError


class FatFileSystem:
    """FAT12, FAT16 and FAT32; it knows no owners and no modes."""

    kind = "vfat"
    note = ""
    folds_case = True

    def __init__(self, stream: ExportStream) -> None:
        self._inner = FATFS(stream)

    def root(self) -> Node:
        return Node(b"", stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        for entry in node.inner.iterdir():
            if entry.name not in (".", "..") and not entry.is_volume_id():
                yield self._node(entry)

    def target(self, node: Node) -> bytes:
        raise CommandError(f"{node.name!r} is not a symbolic link.")

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        if node.size:
            yield 0, node.size

    def open(self, node: Node) -> Any:
        return node.inner.open()

    def _node(self, entry: Any) -> Node:
        directory = entry.is_directory()
        mode = stat.S_IFDIR | 0o755 if directory else stat.S_IFREG | 0o644
        try:
            mtime = round(entry.mtime.replace(tzinfo=UTC).timestamp() * 1e9)
        except ValueError:
            mtime = 0
        return Node(
            _fat_name(entry).encode("utf-8", "surrogatepass"),
            mode,
            0,
            0,
            0 if directory else entry.size,
            mtime,
            entry.cluster,
            entry,
        )


def _fat_name(entry: Any) -> str:
    """The name; two bits say that a short one is written in small letters."""
    name = str(entry.name)
    if name != entry.short_name:
        return name
    base, dot, extension = name.partition(".")
    bits = entry.dirent.DIR_NTRes
    return (
        (base.lower() if bits & 8 else base) + dot + (extension.lower() if bits & 16 else extension)
    )
