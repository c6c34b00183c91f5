"""FAT12, FAT16 and FAT32; the reading itself is dissect's."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from dissect.fat import FATFS
from dissect.fat.c_fat import FAT12_EOC
from dissect.fat.fat import FAT

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import Node
from mooring.model.errors import CommandError, UnreadableFileError

_LARGEST_DIRECTORY = 65536 * 32
"""Bytes; the specification's limit."""


class _Chains(FAT):  # type: ignore[misc]
    """Where files lie: dissect follows circles forever, and takes 5, 4 for 5, 6."""

    def __init__(self, found: FAT, kind: Any) -> None:
        super().__init__(found.fh, kind)
        self.most = 0
        """How many clusters of the next chain are looked at."""

    def chain(self, cluster: int) -> Iterator[int]:
        bits = min(self.bits_per_entry, 28)
        for _ in range(self.most):
            yield cluster
            cluster = self.get(cluster)
            if cluster >= (1 << bits) - 8 or (bits == 12 and cluster == FAT12_EOC):
                return
            if not 2 <= cluster < (1 << bits) - 16:
                raise UnreadableFileError("is damaged: its chain of clusters leads nowhere")

    def runlist(self, cluster: int) -> Iterator[tuple[int, int]]:
        """First cluster, counted from where data begins, and number of clusters."""
        begin, count = cluster, 0
        for found in self.chain(cluster):
            if found != begin + count:
                yield begin - 2, count
                begin, count = found, 0
            count += 1
        if count:
            yield begin - 2, count


class FatFileSystem:
    """FAT12, FAT16 and FAT32; it knows no owners and no modes."""

    kind = "vfat"
    note = ""
    folds_case = True

    def __init__(self, stream: ExportStream) -> None:
        self._inner = FATFS(stream)
        self._inner.fat = self._chains = _Chains(self._inner.fat, self._inner.type)

    def root(self) -> Node:
        return Node(b"", stat.S_IFDIR | 0o755, 0, 0, 0, 0, 0, self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        self._find_runs(node.inner, _LARGEST_DIRECTORY)
        for entry in node.inner.iterdir():
            if entry.name not in (".", "..") and not entry.is_volume_id():
                yield self._node(entry)

    def target(self, node: Node) -> bytes:
        raise CommandError(f"{node.name!r} is not a symbolic link.")

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        if node.size:
            yield 0, node.size

    def open(self, node: Node) -> Any:
        self._find_runs(node.inner, node.size)
        return node.inner.open()

    def _find_runs(self, entry: Any, size: int) -> None:
        """Let the entry find out where its content lies, as far as that may be."""
        self._chains.most = -(-size // self._inner.cluster_size)
        if entry.cluster is not None:  # the root of FAT12 and FAT16 lies elsewhere
            entry.dataruns()

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
