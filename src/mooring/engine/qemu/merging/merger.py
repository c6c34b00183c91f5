"""Merging layers that nobody needs any more, in the background.

A merge into the base is done here, past the daemon (`copying.py`). Afterwards the daemon, if
there is one, is told that the layer above lies on the base; the header of that layer is changed,
and the files are removed.

All others are block-commit jobs in the daemon that has the disk open; for a detached disk a daemon
is started. Detaching and attaching cancel such a merge, which is started again later. When the job
is done, the merged layers are closed, and what it wrote is made durable; then it goes on as above.

The disk's lock is free meanwhile: the disk is written and frozen as usual. A crash at any point
leaves files with the same content, and the next server finishes the work: a job in a daemon that
it takes over, or layers that are already merged.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
from contextlib import ExitStack

import structlog

from mooring.engine.qemu import qcow2
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.disk import CopyingMerge, LayerMerge, LiveDisk, RunningMerge
from mooring.engine.qemu.instances import end_merge
from mooring.engine.qemu.layers import BASE_NUMBER, io_errors
from mooring.engine.qemu.merging.copying import MOST_BLOCKS, copy_down
from mooring.engine.qemu.merging.freeing import Freeing
from mooring.engine.qemu.registry import Registry
from mooring.host.pace import Pace
from mooring.host.room import check_room
from mooring.host.rooms import DISKS
from mooring.model.clock import Clock
from mooring.model.errors import DiskFullError, EngineError, MooringError
from mooring.model.extents import BLOCK_SIZE
from mooring.observe.loop import Loop, Repeats

FOLDER_PREFIX = "merge-"

_WORKERS = 2
_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 300.0
"""A merge that fails again and again is begun less and less often: each try may copy it all."""
_FIRST_POLL_SECONDS = 0.005
_LONGEST_POLL_SECONDS = 0.25
_PACED_SECONDS = 0.1
"""What is copied at once takes that long where the speed is limited."""

log = structlog.get_logger("mooring.engine")


class _StoppedError(Exception):
    """The merge is not wanted any more, or not now."""


class Merger:
    """Threads that do the merges that are due."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._clock = registry.clock
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._active: set[str] = set()
        self._closing = threading.Event()
        self._freeing = Freeing()
        self._repeats = Repeats()
        self._loops = [Loop(f"merger-{n}", self._round) for n in range(_WORKERS)]
        for loop in self._loops:
            loop.start()

    def wake(self, disk_id: str, after: float = 0.0) -> None:
        """See to the disk, `after` seconds from now at the latest."""
        with self._changed:
            at = self._clock.monotonic() + after
            self._due[disk_id] = min(at, self._due.get(disk_id, at))
            self._changed.notify_all()

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is due or under way; False when `timeout` seconds are over."""
        deadline = self._clock.monotonic() + timeout
        with self._changed:
            while self._due or self._active:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return self._freeing.settle(deadline - self._clock.monotonic())

    def close(self) -> None:
        """Stop; jobs in the daemons of instances continue."""
        self._closing.set()
        for loop in self._loops:
            loop.signal()
        with self._changed:
            self._changed.notify_all()
        self._freeing.close()
        for loop in self._loops:
            loop.stop()

    def stop_offline(self, disk: LiveDisk) -> None:
        """End the daemon that merges a detached disk. The caller holds the disk's lock."""
        merge, disk.merge = disk.merge, None
        if merge is not None and merge.offline:
            limit = self._registry.settings.answer_seconds
            end_offline(merge.daemon, disk.layers.disk_id, self._clock, limit)

    def stop_copying(self, disk: LiveDisk) -> None:
        """End a merge that is done here; nothing is written any more. The caller holds the lock."""
        copying, disk.copying = disk.copying, None
        if copying is not None:
            copying.stopped.set()
            if not copying.ended.wait(self._registry.settings.answer_seconds):
                raise EngineError(f"the merge of layers of disk {disk.layers.disk_id} does not end")

    def stop(self, disk: LiveDisk) -> None:
        """End the merge of a detached disk. The caller holds the lock."""
        self.stop_copying(disk)
        self.stop_offline(disk)

    def end(self, disk: LiveDisk) -> None:
        """End the merge of a disk, and finish one that has ended. The caller holds the lock."""
        ended = disk.merge is not None
        self.stop(disk)
        if disk.instance_id is None:
            return
        disk_id = disk.layers.disk_id
        daemon = self._registry.instance(disk.instance_id).daemon()
        running = daemon.merges.status(disk_id) is not None
        # One whose job is over may have left the daemon already, but not the headers.
        if not running and not ended and not disk.unswept:
            return
        if running:
            end_merge(daemon, disk_id, self._clock, self._registry.settings.answer_seconds)
        merge = disk.merge = RunningMerge(daemon, offline=False)
        try:
            self._retire(disk_id, disk, merge)
        finally:
            disk.merge = None

    # --- the threads

    def _round(self) -> None:
        disk_id = self._next()
        if disk_id is None:
            return
        disk = None
        try:
            disk = self._registry.disk(disk_id)
            if self._merge_all(disk_id, disk):
                disk.forget_merge_failures()
        except Exception as error:
            self.wake(disk_id, _RETRY_SECONDS)
            if disk is not None:
                self._failed(disk, error)
                if times := self._repeats.count(error):
                    log.warning(
                        "layers could not be merged", disk=disk_id, reason=str(error), times=times
                    )
            if disk is None or not isinstance(error, (MooringError, OSError)):
                raise  # the loop tells of it, and the disk is tried again
        finally:
            with self._changed:
                self._active.discard(disk_id)
                self._changed.notify_all()

    def _failed(self, disk: LiveDisk, error: Exception) -> None:
        """Tell of it, and have the disk's next merge wait for longer than the last time."""
        again = ""
        # Room comes back at any time, and nothing is copied before.
        if not isinstance(error, DiskFullError):
            pause = min(_RETRY_SECONDS * 2**disk.merge_failures, _LONGEST_RETRY_SECONDS)
            disk.merge_failures += 1
            disk.merge_again = self._clock.monotonic() + pause
            if disk.merge_failures > 1:
                again = f" ({disk.merge_failures} times in a row; tried again after {pause:.0f} s)"
        disk.merge_problem = f"merging layers: {error}{again}"

    def _next(self) -> str | None:
        """Wait for a disk to see to; None at the end."""
        with self._changed:
            while not self._closing.is_set():
                now = self._clock.monotonic()
                ready = [d for d, at in self._due.items() if at <= now and d not in self._active]
                if ready:
                    disk_id = min(ready, key=self._due.__getitem__)
                    del self._due[disk_id]
                    self._active.add(disk_id)
                    return disk_id
                idle = [at - now for d, at in self._due.items() if d not in self._active]
                self._changed.wait(max(0.001, min(idle)) if idle else None)
        return None

    def _merge_all(self, disk_id: str, disk: LiveDisk) -> bool:
        """Do what is due; False if it has to wait because it failed before."""
        for freed in disk.drop_past():
            self.wake(freed)
        if disk.unswept:
            self._sweep(disk_id, disk)
        while not self._closing.is_set():
            with disk.lock:
                if not disk.layers.exist():
                    return True  # deleted since
                self._switch(disk_id, disk)
                if (rest := disk.merge_again - self._clock.monotonic()) > 0:
                    self.wake(disk_id, rest)
                    return False
                merge = disk.merge = self._begin(disk_id, disk)
                copying = disk.copying
            if copying is not None:
                self._copy(disk_id, disk, copying)
                continue
            if merge is None:
                return True
            try:
                self._wait(disk_id, disk, merge)
                if disk.merge is merge and not self._closing.is_set():
                    self._finish(disk_id, disk, merge)
            finally:
                with disk.lock:
                    if disk.merge is merge:
                        self.stop_offline(disk)
        return False

    def _begin(self, disk_id: str, disk: LiveDisk) -> RunningMerge | None:
        """Start the merge that is due, or join one that an earlier server has started.

        One that is done here is in `copying` then.
        """
        due = disk.due_merge()
        if disk.instance_id is None:
            if due is None:
                return None
            self._check_room(disk)
            if due.bottom.number == BASE_NUMBER:
                disk.layers.check_unused()
                disk.layers.remove_leftovers()
                if due.grows:
                    # While no daemon can have it open: it would not notice.
                    disk.layers.enlarge_base(due.top.size)
                disk.copying = CopyingMerge(due)
                return None
            daemon = self._start_offline(disk_id, disk)
            top = due.newest.number
        else:
            daemon = self._registry.instance(disk.instance_id).daemon()
            if daemon.merges.status(disk_id) is not None:
                return RunningMerge(daemon, offline=False)
            if due is None or disk_id not in (served := daemon.exports.served()):
                return None
            self._check_room(disk)
            # The daemon would not notice that a base has become larger.
            if due.bottom.number == BASE_NUMBER and not due.grows:
                disk.copying = CopyingMerge(due)
                return None
            top = served[disk_id].top
        merge = RunningMerge(daemon, offline=disk.instance_id is None)
        try:
            named = qcow2.lies_on(due.upper.path)
            daemon.merges.start(disk_id, due.bottom.number, due.top.number, top, named)
        except BaseException:
            disk.merge = merge
            self.stop_offline(disk)
            raise
        return merge

    def _check_room(self, disk: LiveDisk, *, going_on: bool = False) -> None:
        """Raise DiskFullError if a merge would take the room that disks in use need.

        Its layers give their room back only when it is done.
        """
        margin = self._registry.settings.margin_bytes
        check_room(disk.layers.folder, DISKS, margin // 2 if going_on else margin)

    def _switch(self, disk_id: str, disk: LiveDisk) -> None:
        """Have the daemon use a base that has been filled, unless a merge is under way."""
        if not disk.switch_due:
            return
        if disk.instance_id is not None:
            daemon = self._registry.instance(disk.instance_id).daemon()
            if daemon.merges.status(disk_id) is not None:
                return
            base, lowest, *upper = disk.layers.check()
            if base.source is None and daemon.layers.has_source(disk_id):
                daemon.layers.switch_to_base(disk_id, base, lowest)
            if daemon.layers.has_shared(disk_id) and not disk.layers.shared():
                daemon.layers.switch_to_own(disk_id, [base, lowest, *upper])
        disk.layers.forget_shared()
        disk.switch_due = False
        with self._changed:
            self._changed.notify_all()

    def await_switch(self, disk: LiveDisk, timeout: float) -> bool:
        """Wait until no daemon needs the source of a disk's base; False when time ran out."""
        with self._changed:
            return self._changed.wait_for(lambda: not disk.switch_due, timeout)

    def _wait(self, disk_id: str, disk: LiveDisk, merge: RunningMerge) -> None:
        pause = _FIRST_POLL_SECONDS
        while disk.merge is merge and not self._closing.wait(pause):
            try:
                status = merge.daemon.merges.status(disk_id)
            except EngineError:
                if disk.merge is merge:
                    raise
                return
            if status is None or not status.running:
                return
            try:
                self._check_room(disk, going_on=True)
            except DiskFullError:
                # What it has written so far takes no room again when it is started again.
                with disk.lock:
                    if disk.merge is merge and not merge.offline:
                        limit = self._registry.settings.answer_seconds
                        end_merge(merge.daemon, disk_id, self._clock, limit)
                        disk.merge = None
                        # Perhaps it had just ended: then its layers go at the next try.
                        disk.unswept = True
                raise
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

    # --- merges done here

    def _copy(self, disk_id: str, disk: LiveDisk, copying: CopyingMerge) -> None:
        due, settings = copying.due, self._registry.settings
        rate = settings.merge_bytes_per_second
        pace = Pace(self._clock, rate)
        checked = self._clock.monotonic()

        def tell(done: int) -> None:
            nonlocal checked
            if copying.stopped.is_set() or self._closing.is_set():
                raise _StoppedError
            pace.spend(done)
            if self._clock.monotonic() - checked > _LONGEST_POLL_SECONDS:
                self._check_room(disk, going_on=True)
                checked = self._clock.monotonic()

        blocks = max(1, int(rate * _PACED_SECONDS) // BLOCK_SIZE) if rate else MOST_BLOCKS
        try:
            with io_errors(disk_id):
                copy_down(due.bottom, due.merged, tell, blocks, settings.direct)
        except _StoppedError:
            self._forget(disk, copying)
            return
        except BaseException:
            self._forget(disk, copying)
            raise
        finally:
            copying.ended.set()
        with disk.lock:
            if disk.copying is not copying:
                return
            disk.copying = None
            freed = self._retire_copied(disk_id, disk, due)
        self._freeing.take(freed)

    def _retire_copied(self, disk_id: str, disk: LiveDisk, due: LayerMerge) -> ExitStack:
        """Let the base take the place of the layers that were copied into it."""
        merged = {layer.number for layer in due.merged}
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

    # --- merges done by daemons

    def _finish(self, disk_id: str, disk: LiveDisk, merge: RunningMerge) -> None:
        with disk.lock:
            if disk.merge is not merge:
                return
            status = merge.daemon.merges.status(disk_id)
            merge.daemon.merges.clear(disk_id)
            if status is None or status.error:
                raise EngineError(status.error if status else "the merge has vanished")
        self._retire(disk_id, disk, merge)

    def _retire(self, disk_id: str, disk: LiveDisk, merge: RunningMerge) -> None:
        """Take away the layers that are merged: in the daemon, in the headers, the files."""
        with disk.lock:
            if disk.merge is not merge:
                return
            served = merge.daemon.exports.served()
            numbers = merge.daemon.layers.numbers(disk_id)
            if not numbers:
                raise EngineError(f"disk {disk_id} is no longer open in its storage daemon")
            top = served[disk_id].top if disk_id in served else max(numbers)
            used = merge.daemon.layers.drop_unused(disk_id, top)
        disk.layers.sync(used)
        with disk.lock:
            if disk.merge is not merge:
                return
            overlays = disk.layers.overlays()
            # Overlays put on top in the meantime are not known to be used, but are.
            used |= {layer.number for layer in overlays if layer.number > top}
            # Headers of layers that another disk has, too, stay, and so does what they name.
            fixed = disk.layers.fixed()
            used |= {layer.number for layer in overlays if layer.number <= fixed}
            disk.layers.relink(used)
            freed = disk.layers.remove([layer for layer in overlays if layer.number not in used])
        self._freeing.take(freed)

    def _sweep(self, disk_id: str, disk: LiveDisk) -> None:
        """Finish a merge whose job has ended, but whose server did not live to see to it."""
        with disk.lock:
            disk.unswept = False
            disk.switch_due = True
            if disk.instance_id is None:
                return
            daemon = self._registry.instance(disk.instance_id).daemon()
            if daemon.merges.status(disk_id) is not None:
                return
            daemon.merges.clear(disk_id)
            merge = disk.merge = RunningMerge(daemon, offline=False)
        self._retire(disk_id, disk, merge)

    # --- daemons for detached disks

    def _start_offline(self, disk_id: str, disk: LiveDisk) -> Daemon:
        disk.layers.check_unused()
        disk.layers.remove_leftovers()
        layers = disk.layers.check()
        daemon = self._registry.daemon_in(self._registry.run_dir / (FOLDER_PREFIX + disk_id))
        try:
            daemon.start()
            daemon.layers.add(disk_id, layers, writable=False)
        except BaseException:
            daemon.quit()
            raise
        return daemon


def end_offline(daemon: Daemon, disk_id: str, clock: Clock, timeout: float) -> None:
    """End a daemon that was started for a merge; what the merge has not done is done again."""
    try:
        if daemon.alive():
            end_merge(daemon, disk_id, clock, timeout)
    finally:
        daemon.quit()
        with contextlib.suppress(OSError):
            shutil.rmtree(daemon.folder)
