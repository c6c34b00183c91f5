"""Making a disk: empty, as a copy, or reading from a snapshot.

Each may have been made before, by a request or a job that is repeated: then nothing is done.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from mooring.engine.interface import Source
from mooring.engine.lineage import ZERO_ORIGIN
from mooring.engine.qemu import filling
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.layers.disk_layers import io_errors
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE, Image


def create(disk: LiveDisk, size: int) -> None:
    """Make a disk that reads as zeros. The caller holds its lock."""
    if _made_before(disk, size):
        return
    disk.layers.make_base(size)
    disk.layers.add_overlay(ZERO_ORIGIN)


def clone(
    disk: LiveDisk,
    size: int,
    source: Image,
    origin: str,
    trash: Path,
    progress: Callable[[int], None],
) -> None:
    """Make a disk that holds the source, of the snapshot `origin`. The caller holds its lock."""
    if _made_before(disk, size):
        return
    try:
        with (
            io_errors(disk.layers.disk_id),
            contextlib.closing(disk.layers.begin_base(size)) as base,
        ):
            base.fill(source, progress)
        disk.layers.finish_base()
        disk.layers.add_overlay(origin)
    except BaseException:
        disk.layers.remove_all(trash)
        raise


def begin_clone(disk: LiveDisk, size: int, source: Source) -> None:
    """Make a disk that reads from the source until it is filled. The caller holds its lock."""
    if _made_before(disk, size, may_have_grown=True):
        filling.renew(disk, source)
    else:
        filling.begin(disk, size, source)


def check_size(disk_id: str, size: int) -> None:
    """Raise EngineError if no disk can have that size."""
    if size <= 0 or size % BLOCK_SIZE:
        raise EngineError(
            f"disk {disk_id} cannot have {size} bytes: a multiple of {BLOCK_SIZE} is needed"
        )


def check_holds(disk_id: str, size: int, source: Image | Source) -> None:
    """Raise EngineError if a disk of that size cannot hold the source."""
    check_size(disk_id, size)
    if source.size > size:
        raise EngineError(
            f"disk {disk_id} of {size} bytes cannot hold the {source.size} of its source"
        )


def _made_before(disk: LiveDisk, size: int, *, may_have_grown: bool = False) -> bool:
    if not disk.layers.exist():
        return False
    known = disk.layers.size()
    if known != size and not (may_have_grown and known > size):
        raise EngineError(f"disk {disk.layers.disk_id} already exists with {known} bytes")
    return True
