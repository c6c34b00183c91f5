"""What inodes of ext and XFS have in common."""

from __future__ import annotations

from dataclasses import dataclass

from mooring.cli.files.file_system import Node


@dataclass(frozen=True)
class Inode:
    """What is known of a file without its name; each file system adds where the content is."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int

    def node(self, name: bytes) -> Node:
        """It under a name."""
        return Node(
            name, self.mode, self.uid, self.gid, self.size, self.mtime_ns, self.number, self
        )
