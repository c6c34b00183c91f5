"""Merges into the base, which this server does itself, past the daemon."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack

from mooring.engine.qemu.disk import CopyingMerge, LayerMerge, LiveDisk
from mooring.engine.qemu.layers.disk_layers import io_errors
from mooring.engine.qemu.merging.copying import MOST_BLOCKS, copy_down
from mooring.engine.qemu.merging.room import check_merge_room
from mooring.engine.qemu.registry import Registry
from mooring.host.pace import Pace
from mooring.model.errors import EngineError
from mooring.model.extents import BLOCK_SIZE

_CHECK_SECONDS = 0.25
_PACED_SECONDS = 0.1
"""What is copied at once takes that long where the speed is limited."""


class _StoppedError(Exception):
    """The merge is not wanted any more, or not now."""


class IntoBase:
    """Does the merges that are in `copying` of their disks."""

    def __init__(self, registry: Registry, closing: threading.Event) -> None:
        """Those under way end when `closing` is set."""
        self._registry = registry
        self._closing = closing

    def copy(self, disk: LiveDisk, copying: CopyingMerge) -> ExitStack:
        """Do the merge, unless it is stopped; closing the result frees what it has removed.

        The caller does not hold the disk's lock. Raises EngineError, DiskFullError.
        """
        due, settings = copying.due, self._registry.settings
        rate = settings.merge_bytes_per_second
        blocks = max(1, int(rate * _PACED_SECONDS) // BLOCK_SIZE) if rate else MOST_BLOCKS
        try:
            with io_errors(disk.layers.disk_id):
                tell = self._watched(disk, copying)
                copy_down(due.bottom, due.merged, tell, blocks, settings.direct)
        except _StoppedError:
            self._forget(disk, copying)
            return ExitStack()
        except BaseException:
            self._forget(disk, copying)
            raise
        finally:
            copying.ended.set()
        with disk.lock:
            if disk.copying is not copying:
                return ExitStack()
            disk.copying = None
            return self._retire(disk, due)

    def stop(self, disk: LiveDisk) -> None:
        """End the merge; nothing is written any more. The caller holds the disk's lock."""
        copying, disk.copying = disk.copying, None
        if copying is not None:
            copying.stopped.set()
            if not copying.ended.wait(self._registry.settings.answer_seconds):
                raise EngineError(f"the merge of layers of disk {disk.layers.disk_id} does not end")

    def _watched(self, disk: LiveDisk, copying: CopyingMerge) -> Callable[[int], None]:
        """What is told of each piece that is done, and may end the merge."""
        clock = self._registry.clock
        pace = Pace(clock, self._registry.settings.merge_bytes_per_second)
        checked = clock.monotonic()

        def tell(done: int) -> None:
            nonlocal checked
            if copying.stopped.is_set() or self._closing.is_set():
                raise _StoppedError
            pace.spend(done)
            if clock.monotonic() - checked > _CHECK_SECONDS:
                check_merge_room(self._registry, disk, going_on=True)
                checked = clock.monotonic()

        return tell

    def _retire(self, disk: LiveDisk, due: LayerMerge) -> ExitStack:
        """Let the base take the place of the layers that were copied into it."""
        disk_id, merged = disk.layers.disk_id, {layer.number for layer in due.merged}
        if disk.instance_id is None:
            disk.layers.check_unused()
        else:
            daemon = self._registry.instance(disk.instance_id).daemon()
            served = daemon.exports.served()
            if disk_id not in served:
                raise EngineError(f"disk {disk_id} is not served now")
            # If it is unknown what the daemon has done of it, it is asked the next time.
            disk.unswept = True
            daemon.layers.lay_on(disk_id, due.upper, due.bottom)
            daemon.layers.drop_unused(disk_id, served[disk_id].top)
            disk.unswept = False
        overlays = disk.layers.overlays()
        disk.layers.relink({layer.number for layer in overlays} - merged)
        return disk.layers.remove([layer for layer in overlays if layer.number in merged])

    def _forget(self, disk: LiveDisk, copying: CopyingMerge) -> None:
        copying.ended.set()
        with disk.lock:
            if disk.copying is copying:
                disk.copying = None
