"""A file system that can be read, behind one interface."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Node:
    """A file, a directory, or something else. `name` may hold any bytes; times are ns."""

    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    identity: object
    inner: Any

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_symlink(self) -> bool:
        return stat.S_ISLNK(self.mode)


class FileSystem(Protocol):
    """What `ls` and `cp` need. Raises UnreadableFileError for what is damaged or not known.

    Where a library reads, whatever that raises may be raised.
    """

    kind: str
    note: str
    """What is not as a mount would show it; empty for nothing."""
    folds_case: bool
    """Whether names that differ in case only are the same."""

    def root(self) -> Node: ...

    def children(self, node: Node) -> Iterator[Node]:
        """The entries of a directory, without `.` and `..`."""
        ...

    def target(self, node: Node) -> bytes:
        """Where a symbolic link leads."""
        ...

    def ranges(self, node: Node) -> Iterable[tuple[int, int]]:
        """Begin and end of the parts of a file that may hold something but zeros."""
        ...

    def open(self, node: Node) -> Any:
        """A file object with seek and read."""
        ...
