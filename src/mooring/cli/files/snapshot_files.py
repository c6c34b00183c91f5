"""The files of one snapshot: finding the file system, and paths in it."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from mooring.cli.files.export_stream import ExportStream
from mooring.cli.files.file_system import FileSystem, Node
from mooring.cli.files.file_systems import kind_of, open_file_system, other_kind_of
from mooring.cli.files.partitions import Partition, partitions
from mooring.cli.files.watchdog import Watchdog
from mooring.cli.progress import size as amount
from mooring.model.counts import counted
from mooring.model.errors import CommandError, MooringError, UnreadableFileError
from mooring.nbd.blocking import BlockingNbdClient

READ_SECONDS = 60.0
"""How long a read may take: shorter than the watchdog, who would blame the file system."""
MOST_LINKS = 40
MOST_MEMORY = 4 * 1024**3
"""Bytes of address space: what a hostile file system may make this program take."""


class SnapshotFiles:
    """A file system in a snapshot, and the way to its files."""

    def __init__(self, snapshot: str, system: FileSystem, watchdog: Watchdog) -> None:
        self.snapshot = snapshot
        self.system = system
        self.watchdog = watchdog

    def find(self, path: str) -> Node:
        """The node at a path, links followed within the file system. Raises CommandError."""
        trail = [self.system.root()]
        todo = _parts(os.fsencode(path))
        links, target = 0, b""
        while todo:
            part = todo.pop(0)
            if part == b"..":
                trail = trail[:-1] or trail
                continue
            here = trail[-1]
            if not here.is_directory:
                raise CommandError(
                    f"{self.shown(path)}: {printable(here.name)} is not a directory."
                )
            try:
                same = (one for one in self.children(here) if self._same(one.name, part))
                found = next(same, None)
            except UnreadableFileError as error:
                place = "/".join(printable(one.name) for one in trail) or "/"
                raise CommandError(f"{self.snapshot}:{place} {error}.") from error
            if found is None:
                missing = b"/" + b"/".join([*(one.name for one in trail[1:]), part])
                by = f", to which the link to {printable(target)} leads" if links else ""
                raise CommandError(
                    f"{self.shown(path)}: the snapshot has no {printable(missing)}{by}."
                )
            if not found.is_symlink:
                trail.append(found)
                continue
            links += 1
            if links > MOST_LINKS:
                raise CommandError(f"{self.shown(path)}: too many symbolic links.")
            target = self.system.target(found)
            if target.startswith(b"/"):
                trail = trail[:1]
            todo = _parts(target) + todo
        return trail[-1]

    def _same(self, one: bytes, other: bytes) -> bool:
        if not self.system.folds_case:
            return one == other
        return os.fsdecode(one).casefold() == os.fsdecode(other).casefold()

    def children(self, node: Node) -> Iterator[Node]:
        """The entries of a directory."""
        names: set[bytes] = set()
        for child in self.system.children(node):
            if child.name in names:  # or what leads in circles would never end
                raise UnreadableFileError(
                    f"is damaged: it has {printable(child.name)} more than once"
                )
            names.add(child.name)
            self.watchdog.alive()
            yield child

    def entries(self, path: str, node: Node) -> list[Node]:
        """The entries of the directory at a path, by name. Raises CommandError."""
        try:
            return sorted(self.children(node), key=lambda one: one.name)
        except UnreadableFileError as error:
            raise CommandError(f"{self.shown(path)} {error}.") from error

    def shown(self, path: str) -> str:
        return f"{self.snapshot}:{printable(os.fsencode(path))}"


@contextmanager
def snapshot_files(uri: str, snapshot: str, partition: int | None) -> Iterator[SnapshotFiles]:
    """Open the file system of an exported snapshot, as `files_of`."""
    _limit_memory()
    with (
        BlockingNbdClient(uri, patience=READ_SECONDS) as client,
        files_of(ExportStream(client), snapshot, partition) as files,
    ):
        yield files


@contextmanager
def files_of(disk: ExportStream, snapshot: str, partition: int | None) -> Iterator[SnapshotFiles]:
    """Open the file system of a disk.

    What the library raises about damage becomes CommandError. Without `partition`, the whole disk
    is looked at, then the partitions, of which only one may have a file system.
    """
    with Watchdog(snapshot) as watchdog:
        try:
            stream = choose(disk, snapshot, partition)
            kind = kind_of(stream)
            assert kind is not None
            yield SnapshotFiles(snapshot, open_file_system(stream, kind), watchdog)
        except UnreadableFileError as error:
            raise CommandError(f"{snapshot}: the file system {error}.") from error
        except (MooringError, OSError):
            raise
        except MemoryError:
            raise CommandError(
                f"{snapshot}: reading this takes an unreasonable amount of memory; the file system "
                "may be damaged."
            ) from None
        except Exception as error:
            # Dissect raises what Python happens to raise where content makes no sense.
            raise CommandError(
                f"{snapshot}: the file system cannot be read: {error or type(error).__name__}"
            ) from error


def printable(name: bytes) -> str:
    """A name for a terminal: what is no printable character is escaped."""
    text = name.decode("utf-8", "surrogateescape")
    return "".join(
        letter
        if letter.isprintable() and letter != "\\"
        else "\\\\"
        if letter == "\\"
        else "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
        for letter in text
    )


def _parts(path: bytes) -> list[bytes]:
    return [part for part in re.split(rb"/+", path) if part not in (b"", b".")]


def choose(disk: ExportStream, snapshot: str, wanted: int | None) -> ExportStream:
    """The disk, or the part of it, that has the file system. Raises CommandError."""
    if wanted is None and kind_of(disk) is not None:
        return disk
    found = [one for one in partitions(disk) if 0 < one.offset < disk.size]
    kinds = {one.number: kind_of(_part(disk, one)) for one in found}
    if wanted is None:
        readable = [one for one in found if kinds[one.number] is not None]
        if len(readable) == 1:
            return _part(disk, readable[0])
        if not readable:
            raise CommandError(_nothing(disk, snapshot, found))
        told = [f"{one.number} ({kinds[one.number]}, {amount(one.size)})" for one in readable]
        raise CommandError(
            f"{snapshot} has several file systems: choose one with --partition: {', '.join(told)}"
        )
    for one in found:
        if one.number == wanted:
            if kinds[wanted] is None:
                other = other_kind_of(_part(disk, one))
                raise CommandError(f"Partition {wanted} of {snapshot} {_cannot(other)}. {_CAN}")
            return _part(disk, one)
    numbers = ", ".join(str(one.number) for one in found) or "none"
    raise CommandError(f"{snapshot} has no partition {wanted}; it has {numbers}.")


_CAN = (
    "ext2, ext3, ext4, XFS, btrfs and FAT can be read; for anything else, make a disk from the "
    "snapshot."
)


def _cannot(other: str | None) -> str:
    if other is None:
        return "has no file system that can be read"
    return f"is {other}, which cannot be read here"


def _nothing(disk: ExportStream, snapshot: str, found: list[Partition]) -> str:
    """Why there is nothing to read, and what there is instead."""
    if not found:
        return f"{snapshot} {_cannot(other_kind_of(disk))}. {_CAN}"
    others = {one.number: other_kind_of(_part(disk, one)) for one in found}
    told = ", ".join(f"{number} is {words}" for number, words in others.items() if words)
    return (
        f"{snapshot} has no file system that can be read on its {counted(len(found), 'partition')}"
        f"{f' ({told})' if told else ''}. {_CAN}"
    )


def _part(disk: ExportStream, partition: Partition) -> ExportStream:
    return disk.part(partition.offset, min(partition.size, disk.size - partition.offset))


def _limit_memory() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY or soft > MOST_MEMORY:
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))
