"""Forking: a new disk of a frozen point of another one, usable at once.

The fork gets the layers below the point, under the same names, and an overlay of its own on top;
so it knows the same points, and changes are counted from them. Where the file system has reflinks
each file is cloned, and the fork stands by itself. Elsewhere the files are linked into the
folder `shared`, from which they are only read: as long as a file has two names nothing is merged
into it or those below, in neither disk. Afterwards each file is copied, and the storage daemon
changes the copies for the others. The disk that was forked may be deleted meanwhile.

All of it is put together elsewhere and gets its name at the end. Killed before, nothing is left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from mooring.engine.interface import Filling
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.base_source import read_reached, write_reached, write_source
from mooring.engine.qemu.layers.disk_layers import DiskLayers, io_errors
from mooring.engine.qemu.layers.layer import BASE_NUMBER, FILLING_NAME, FORKED_NAME, Layer
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.registry import Registry
from mooring.files import appearing, sync, write_whole
from mooring.host.pace import Pace, Rests
from mooring.host.room import check_room
from mooring.host.rooms import DISKS
from mooring.images.whole_file import copy_whole
from mooring.model.errors import EngineError, PointNotFoundError, RevertedError

STAGING = "forks"
"""The folder beside those of the disks in which forks are put together."""

_FICLONE = 0x40049409
_NO_REFLINKS = (errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS)
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def fork(
    registry: Registry,
    merger: Merger,
    staging: Path,
    disk_id: str,
    point: str,
    fork_id: str,
    size: int,
) -> int:
    """Make the disk `fork_id` of the disk's frozen point, with at least `size` bytes.

    Returns how many it has. Raises EngineError, DiskFullError, DiskTooLargeError.
    """
    disk, made = registry.existing(disk_id), registry.disk(fork_id)
    with contextlib.ExitStack() as locks:
        for one in sorted((disk, made), key=lambda one: one.layers.disk_id):
            locks.enter_context(one.lock)
        if made.layers.exist():
            return made.layers.size()
        below = _below(disk.layers, point)
        staged = DiskLayers(staging, fork_id)
        shutil.rmtree(staged.folder, ignore_errors=True)
        try:
            with io_errors(fork_id):
                staged.folder.mkdir(mode=0o700, parents=True)
                _begin_base(disk.layers, staged, below[0])
                if not _cloned(staged, below):
                    # Nothing may write to what is shared, not even to a header.
                    merger.end(disk)
                    _link(disk.layers, staged, _below(disk.layers, point))
                size = max(size, below[-1].size)
                if size > below[-1].size:
                    staged.check_possible(size)
                staged.add_overlay(point, size)
                sync(staged.folder)
                staged.folder.rename(made.layers.folder)
                sync(made.layers.folder.parent)
        except BaseException:
            shutil.rmtree(staged.folder, ignore_errors=True)
            raise
        return size


def _below(layers: DiskLayers, point: str) -> list[Layer]:
    """The layers below the point, lowest first. Raises PointNotFoundError."""
    found = layers.check()
    places = [place for place, layer in enumerate(found) if layer.point == point]
    if not places:
        raise PointNotFoundError(f"disk {layers.disk_id} has no frozen point {point}")
    return found[: places[-1]]


def _begin_base(layers: DiskLayers, staged: DiskLayers, base: Layer) -> None:
    """A base that is not filled yet is not filled in the fork, either."""
    if base.source is None:
        return
    os.close(staged.begin_base(base.size))
    write_source(staged.folder, base.source)
    # What is there already need not be read from the snapshot again; how much that is, is asked
    # first, because the filling goes on meanwhile.
    source, target = layers.folder / FILLING_NAME, staged.folder / FILLING_NAME
    reached = read_reached(layers.folder)
    if reached and _clone(source, target):
        sync(target)
        write_reached(staged.folder, reached)


def _cloned(staged: DiskLayers, layers: Sequence[Layer]) -> bool:
    """Clone the files; False, and nothing is done, if the file system cannot."""
    for layer in layers:
        if layer.source is not None:
            continue
        target = staged.own_path(layer)
        if not _clone(layer.path, target):
            return False
        with target.open("rb+") as file:
            if layer.number != BASE_NUMBER:
                qcow2.belong_to(file.fileno(), staged.disk_id)
            os.fsync(file.fileno())
    # A base with a source alone proves nothing, but then there is nothing to share.
    return True


def _clone(source: Path, target: Path) -> bool:
    with source.open("rb") as read:
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.ioctl(fd, _FICLONE, read.fileno())
        except OSError as error:
            if error.errno not in _NO_REFLINKS:
                raise
            if os.fstat(fd).st_size == 0:
                target.unlink()
            return False
        finally:
            os.close(fd)
    return True


def _link(layers: DiskLayers, staged: DiskLayers, below: Sequence[Layer]) -> None:
    staged.shared_folder.mkdir(mode=0o700)
    others = layers.forked_from()
    for layer in below:
        if layer.source is not None:
            continue
        try:
            os.link(layer.path, staged.shared_folder / layer.path.name)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            raise EngineError(
                f"{layers.folder} is on a file system with neither reflinks nor hard links, so "
                "disks there cannot be forked: take a snapshot, and make a disk of that"
            ) from error
    # All of them can merge more once the fork has let go.
    write_whole(staged.shared_folder / FORKED_NAME, "\n".join([layers.disk_id, *others]))


def status(disk: LiveDisk) -> Filling | None:
    """How far the copying of shared layers is, in bytes; None if all are the disk's own."""
    if not disk.layers.shared_folder.exists():
        return None
    return _so_far(*_amounts(disk.layers), disk.filled)


def _amounts(layers: DiskLayers) -> tuple[int, int]:
    """Bytes of all layers that were shared, and of those that still are."""
    total = sum(_allocated(path) for path in layers.shared_folder.iterdir())
    return total, sum(_allocated(layer.path) for layer in layers.shared())


def _so_far(total: int, left: int, done: int) -> Filling:
    return Filling(min(total, total - left + done), total, forked=True)


def stand_alone(
    registry: Registry, merger: Merger, disk_id: str, progress: Callable[[Filling], None]
) -> None:
    """Copy what the disk shares, and let it do without. Raises EngineError, DiskFullError."""
    disk = registry.existing(disk_id)
    # A revert gives the disk others: these stay where they are.
    layers = disk.layers
    if not layers.shared_folder.exists():
        return
    pace = Pace(registry.clock, registry.settings.fill_bytes_per_second)
    rests = Rests(registry.clock)
    for layer in layers.shared():
        amounts = _amounts(layers)

        def tell(done: int, amounts: tuple[int, int] = amounts) -> None:
            if disk.layers is not layers:
                raise RevertedError(f"disk {disk_id} was reverted while its layers were copied")
            pace.spend(done - disk.filled)
            disk.filled = done
            check_room(layers.folder, DISKS, registry.settings.margin_bytes // 2)
            progress(_so_far(*amounts, done))

        try:
            _copy(layers, layer, tell, rests)
        finally:
            disk.filled = 0
    forked = disk.layers.forked_from()
    with disk.lock:
        disk.switch_due = True
    merger.wake(disk_id)
    if not merger.await_switch(disk, 3 * registry.settings.answer_seconds):
        raise EngineError(
            f"disk {disk_id} has its own layers, but its storage daemon still reads those of the "
            f"disk that it was forked from: {disk.merge_problem or 'it is busy'}"
        )
    for one in forked:
        merger.wake(one)


def _copy(layers: DiskLayers, layer: Layer, tell: Callable[[int], None], rests: Rests) -> None:
    """Copy one layer; it gets its name when it is whole and durable."""
    target = layers.own_path(layer)
    with io_errors(layers.disk_id), layer.path.open("rb") as source, appearing(target) as file:
        copy_whole(source.fileno(), file.fileno(), tell, rests)
        if layer.number != BASE_NUMBER:
            qcow2.belong_to(file.fileno(), layers.disk_id)
        if not layers.folder.exists():
            raise EngineError(f"disk {layers.disk_id} was deleted while its layers were copied")


def _allocated(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_blocks * 512
    return 0
