"""What file systems with inodes have in common: ext and XFS, as dissect reads them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from mooring.cli.files.file_system import Node


class InodeFileSystem(ABC):
    """Everything but what the inodes look like. `inode` is dissect's; `inode.inode` the raw one."""

    folds_case = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._block_size: int = inner.block_size

    @abstractmethod
    def _owner(self, inode: Any) -> tuple[int, int, int]:
        """Mode, uid and gid."""

    @abstractmethod
    def _is_inline(self, inode: Any) -> bool:
        """Whether the content lies in the inode itself."""

    @abstractmethod
    def _runs(self, inode: Any) -> Iterable[tuple[Any, int]]:
        """Place, None for a hole, and number of blocks."""

    def root(self) -> Node:
        return self._node(b"", self._inner.root)

    def children(self, node: Node) -> Iterator[Node]:
        for inode in node.inner.iterdir():
            if inode.filename not in (".", ".."):
                yield self._node(os.fsencode(inode.filename), inode)

    def target(self, node: Node) -> bytes:
        return os.fsencode(node.inner.link)

    def ranges(self, node: Node) -> Iterator[tuple[int, int]]:
        if self._is_inline(node.inner):
            if node.size:
                yield 0, node.size
            return
        at = 0
        for place, count in self._runs(node.inner):
            if place is not None and at < node.size:
                yield at, min(at + count * self._block_size, node.size)
            at += count * self._block_size

    def open(self, node: Node) -> Any:
        return node.inner.open()

    def _node(self, name: bytes, inode: Any) -> Node:
        mode, uid, gid = self._owner(inode)
        return Node(name, mode, uid, gid, inode.size, inode.mtime_ns, inode.inum, inode)
