"""Merging layers that nobody needs any more, in the background.

A merge into the base is done by this server, past the daemon (`into_base.py`). Afterwards the
daemon, if there is one, is told that the layer above lies on the base; the header of that layer is
changed, and the files are removed.

All others are block-commit jobs in the daemon that has the disk open; for a detached disk a daemon
is started. Detaching and attaching cancel such a merge, which is started again later. When the job
is done, the merged layers are closed, and what it wrote is made durable; then it goes on as above.

The disk's lock is free meanwhile: the disk is written and frozen as usual. A crash at any point
leaves files with the same content, and the next server finishes the work: a job in a daemon that
it takes over, or layers that are already merged.
"""

from __future__ import annotations

import threading

import structlog

from mooring.engine.interface import IsOurs
from mooring.engine.qemu.disk import CopyingMerge, LiveDisk, RunningMerge
from mooring.engine.qemu.layers import qcow2
from mooring.engine.qemu.layers.layer import BASE_NUMBER
from mooring.engine.qemu.merging.freeing import Freeing
from mooring.engine.qemu.merging.into_base import IntoBase
from mooring.engine.qemu.merging.offline import end_offline, start_offline
from mooring.engine.qemu.merging.queue import DueDisks
from mooring.engine.qemu.merging.room import check_merge_room
from mooring.engine.qemu.registry import Registry
from mooring.model.errors import DiskFullError, EngineError, MooringError
from mooring.observe.loop import Loop, Repeats

_WORKERS = 2
_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 300.0
"""A merge that fails again and again is begun less and less often: each try may copy it all."""
_FIRST_POLL_SECONDS = 0.005
_LONGEST_POLL_SECONDS = 0.25

log = structlog.get_logger("mooring.engine")


class Merger:
    """Threads that do the merges that are due."""

    def __init__(self, registry: Registry, is_ours: IsOurs) -> None:
        self._registry, self._is_ours = registry, is_ours
        self._clock = registry.clock
        self._due = DueDisks(registry.clock)
        self._closing = threading.Event()
        self._switched = threading.Condition()
        self._freeing = Freeing()
        self._into_base = IntoBase(registry, self._closing)
        self._repeats = Repeats()
        self._loops = [Loop(f"merger-{n}", self._round) for n in range(_WORKERS)]
        for loop in self._loops:
            loop.start()

    def wake(self, disk_id: str, after: float = 0.0) -> None:
        """See to the disk, `after` seconds from now at the latest."""
        self._due.add(disk_id, after)
        with self._switched:
            # A revert leaves nothing to switch.
            self._switched.notify_all()

    def settle(self, timeout: float) -> bool:
        """Wait until nothing is due or under way; False when `timeout` seconds are over."""
        deadline = self._clock.monotonic() + timeout
        return self._due.settle(timeout) and self._freeing.settle(
            deadline - self._clock.monotonic()
        )

    def close(self) -> None:
        """Stop; jobs in the daemons of instances continue."""
        self._closing.set()
        for loop in self._loops:
            loop.signal()
        self._due.close()
        self._freeing.close()
        for loop in self._loops:
            loop.stop()

    def stop_offline(self, disk: LiveDisk) -> None:
        """End the daemon that merges a detached disk. The caller holds the disk's lock."""
        merge, disk.merge = disk.merge, None
        if merge is not None and merge.offline:
            end_offline(merge.daemon, disk.layers.disk_id)

    def stop_copying(self, disk: LiveDisk) -> None:
        """End a merge that this server does. The caller holds the disk's lock."""
        self._into_base.stop(disk)

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
            daemon.merges.end(disk_id)
        merge = disk.merge = RunningMerge(daemon, offline=False)
        try:
            self._retire(disk_id, disk, merge)
        finally:
            disk.merge = None

    # --- the threads

    def _round(self) -> None:
        disk_id = self._due.next()
        if disk_id is None:
            return
        disk = None
        try:
            disk = self._registry.disk(disk_id)
            if self._is_elsewhere(disk_id, disk) or self._merge_all(disk_id, disk):
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
            self._due.done(disk_id)

    def _is_elsewhere(self, disk_id: str, disk: LiveDisk) -> bool:
        """Whether another host has the disk by now: it does what is due of it.

        Were it merged here, that host could not attach it meanwhile.
        """
        return self._registry.store.shared and disk.is_idle and not self._is_ours(disk_id)

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
                self._freeing.take(self._into_base.copy(disk, copying))
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
            check_merge_room(self._registry, disk)
            if due.bottom.number == BASE_NUMBER and self._registry.store.merges_here:
                disk.layers.check_unused()
                disk.layers.remove_leftovers()
                if due.grows:
                    # While no daemon can have it open: it would not notice.
                    disk.layers.enlarge_base(due.top.size)
                disk.copying = CopyingMerge(due)
                return None
            daemon = start_offline(self._registry, disk)
            top = due.newest.number
        else:
            daemon = self._registry.instance(disk.instance_id).daemon()
            if daemon.merges.status(disk_id) is not None:
                return RunningMerge(daemon, offline=False)
            if due is None or disk_id not in (served := daemon.exports.served()):
                return None
            check_merge_room(self._registry, disk)
            # The daemon would not notice that a base has become larger.
            here = self._registry.store.merges_here
            if here and due.bottom.number == BASE_NUMBER and not due.grows:
                disk.copying = CopyingMerge(due)
                return None
            top = served[disk_id].top
        merge = RunningMerge(daemon, offline=disk.instance_id is None)
        try:
            named = qcow2.lies_on(due.upper)
            daemon.merges.start(disk_id, due.bottom.number, due.top.number, top, named)
        except BaseException:
            disk.merge = merge
            self.stop_offline(disk)
            raise
        return merge

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
        with self._switched:
            self._switched.notify_all()

    def await_switch(self, disk: LiveDisk, timeout: float) -> bool:
        """Wait until no daemon needs the source of a disk's base; False when time ran out."""
        with self._switched:
            return self._switched.wait_for(lambda: not disk.switch_due, timeout)

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
                check_merge_room(self._registry, disk, going_on=True)
            except DiskFullError:
                # What it has written so far takes no room again when it is started again.
                with disk.lock:
                    if disk.merge is merge and not merge.offline:
                        merge.daemon.merges.end(disk_id)
                        disk.merge = None
                        # Perhaps it had just ended: then its layers go at the next try.
                        disk.unswept = True
                raise
            pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)

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
