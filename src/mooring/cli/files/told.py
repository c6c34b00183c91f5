"""Lists a directory or sends a file of a snapshot, for programs.

    echo '["URI", "SNAPSHOT", "PARTITION", "list", "PATH"]' | python -m mooring.cli.files.told

The server has a process of its own for it, because what a hostile file system does to its reader
must not be done to the server. What to do comes in a line of JSON, because other users see
command lines: `list` or `file`. The first line of the answer is JSON: `error`, or what follows.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import islice
from urllib.parse import quote_from_bytes

from mooring.cli.files.file_system import Node
from mooring.cli.files.snapshot_files import SnapshotFiles, printable, snapshot_files
from mooring.model.errors import CommandError, MooringError, UnreadableFileError

MOST = 5000
"""Entries of one directory that are listed."""

PIECE = 256 * 1024


def main() -> int:
    """Answer on standard output; returns the exit code."""
    uri, snapshot, partition, act, path = json.loads(sys.stdin.readline())
    os.nice(5)
    try:
        with snapshot_files(uri, snapshot, int(partition) if partition else None) as files:
            node = files.find(path)
            if act == "list":
                _line(_listed(files, path, node))
            else:
                _send(files, path, node)
    except MooringError as error:
        _line({"error": str(error)})
        return 1
    return 0


def _listed(files: SnapshotFiles, path: str, node: Node) -> dict[str, object]:
    if not node.is_directory:
        raise CommandError(f"{files.shown(path)} is not a directory.")
    try:
        found = list(islice(files.children(node), MOST + 1))
    except UnreadableFileError as error:
        raise CommandError(f"{files.shown(path)} {error}.") from error
    entries = sorted(found[:MOST], key=lambda one: (not one.is_directory, one.name))
    return {
        "kind": files.system.kind,
        "note": files.system.note,
        "entries": [_entry(files, one) for one in entries],
        "more": len(found) > MOST,
    }


def _entry(files: SnapshotFiles, node: Node) -> dict[str, object]:
    kind = "other"
    if node.is_directory:
        kind = "directory"
    elif node.is_symlink:
        kind = "link"
    elif node.is_file:
        kind = "file"
    return {
        "name": printable(node.name),
        "quoted": quote_from_bytes(node.name, safe=""),
        "kind": kind,
        "mode": node.mode & 0o7777,
        "uid": node.uid,
        "gid": node.gid,
        "size": node.size,
        "mtime": node.mtime_ns / 1e9,
        "target": printable(files.system.target(node)) if node.is_symlink else None,
    }


def _send(files: SnapshotFiles, path: str, node: Node) -> None:
    if not node.is_file:
        raise CommandError(f"{files.shown(path)} is not a file.")
    # Before the line: once that is out, an error can only be a file that breaks off.
    content = files.system.open(node)
    _line({"name": quote_from_bytes(node.name, safe=""), "size": node.size})
    left = node.size
    while left > 0:
        piece = content.read(min(PIECE, left))
        if not piece:
            raise CommandError(f"{files.shown(path)} ends too early.")
        files.watchdog.alive()
        sys.stdout.buffer.write(piece)
        left -= len(piece)


def _line(told: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())
