"""An engine that keeps its disks in memory, for tests."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from urllib.parse import quote

from mooring.engine.interface import (
    Client,
    Clients,
    DiskHealth,
    Export,
    Filling,
    Freeze,
    FrozenImage,
    MayShare,
    Past,
    Source,
    never_shared,
)
from mooring.engine.lineage import GROWN, ZERO_ORIGIN
from mooring.engine.memory_disk import Blocks, LazySource, MemoryDisk, Overlay
from mooring.model.errors import DiskBusyError, EngineError, PointNotFoundError, RevertedError
from mooring.model.extents import BLOCK_SIZE, Image


class MemoryEngine:
    """Keeps disks as dictionaries of blocks; `write`, `zero` and `read` stand for a client."""

    def __init__(self, may_share: MayShare = never_shared) -> None:
        self._lock = threading.RLock()
        self._disks: dict[str, MemoryDisk] = {}
        self._clients: dict[str, Counter[int]] = {}
        self._refused: dict[str, str] = {}
        self._may_share = may_share

    # --- a client's side

    def write(self, disk_id: str, offset: int, data: bytes) -> None:
        """Write whole blocks to an attached disk."""
        with self._lock:
            self._attached(disk_id).write(offset, data)

    def zero(self, disk_id: str, offset: int, length: int) -> None:
        """Make blocks of an attached disk read as zeros."""
        with self._lock:
            self._attached(disk_id).zero(offset, length)

    def read(self, disk_id: str, offset: int, length: int) -> bytes:
        """Read whole blocks of an attached disk."""
        with self._lock:
            return self._attached(disk_id).read(offset, length)

    def connect(self, disk_id: str, pid: int = 0) -> None:
        """Count one connection more of a process to the disk.

        Raises DiskBusyError if another process uses it, and it may not be shared.
        """
        with self._lock:
            users = self._clients.setdefault(disk_id, Counter())
            if users.keys() - {pid} and not self._may_share(disk_id):
                self._refused[disk_id] = (
                    f"{Client(pid, None)} was cut off: {Client(next(iter(users)), None)} "
                    "uses the disk"
                )
                raise DiskBusyError(f"another process uses disk {disk_id}")
            users[pid] += 1

    def disconnect(self, disk_id: str, pid: int = 0) -> None:
        """Count one connection less."""
        with self._lock:
            users = self._clients.get(disk_id, Counter())
            users[pid] -= 1
            if users[pid] <= 0:
                del users[pid]

    # --- disks

    def create(self, disk_id: str, size: int) -> None:
        with self._lock:
            if not self._made_before(disk_id, size):
                self._disks[disk_id] = MemoryDisk({}, [Overlay(ZERO_ORIGIN, size)])

    def clone(
        self,
        disk_id: str,
        size: int,
        source: Image,
        origin: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        if source.size > size:
            raise EngineError(f"disk {disk_id} of {size} bytes cannot hold {source.size} bytes")
        with self._lock:
            if self._made_before(disk_id, size):
                return
        base: Blocks = {}
        done = 0
        for extent in source.extents():
            if extent.zero:
                continue
            for offset in range(extent.offset, extent.end, BLOCK_SIZE):
                base[offset // BLOCK_SIZE] = bytes(source.read(offset, BLOCK_SIZE))
                done += BLOCK_SIZE
                progress(done)
        with self._lock:
            self._disks.setdefault(disk_id, MemoryDisk(base, [Overlay(origin, size)]))

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        if source.size > size:
            raise EngineError(f"disk {disk_id} of {size} bytes cannot hold {source.size} bytes")
        with self._lock:
            if not self._made_before(disk_id, size, may_have_grown=True):
                overlays = [Overlay(source.snapshot_id, size)]
                disk = self._disks[disk_id] = MemoryDisk({}, overlays)
                disk.source = LazySource(source.open())

    def fill(
        self,
        disk_id: str,
        source: Image,
        progress: Callable[[Filling], None] = lambda told: None,
        *,
        snapshot_id: str | None = None,
    ) -> None:
        with self._lock:
            disk = self._disk(disk_id)
            lazy = disk.source
            if lazy is None:
                return
            if snapshot_id not in (None, disk.points()[0]):
                raise RevertedError(
                    f"disk {disk_id} is not made from the snapshot {snapshot_id} any more"
                )
        for extent in source.extents():
            for offset in range(max(extent.offset, lazy.filled), extent.end, BLOCK_SIZE):
                block = None if extent.zero else bytes(source.read(offset, BLOCK_SIZE))
                with self._lock:
                    if self._disk(disk_id).source is not lazy:
                        raise RevertedError(
                            f"disk {disk_id} was reverted while it was being filled"
                        )
                    self._disk(disk_id).base[offset // BLOCK_SIZE] = block
                    lazy.filled = offset + BLOCK_SIZE
                progress(Filling(lazy.filled, source.size))
        with self._lock:
            disk = self._disk(disk_id)
            disk.source = None
            disk.merge()
        lazy.image.close()

    def filling(self, disk_id: str) -> Filling | None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None or disk.source is None:
                return None
            lazy = disk.source
            return Filling(lazy.filled, lazy.image.size, snapshot_id=disk.points()[0])

    def fork(self, disk_id: str, point_id: str, fork_id: str, size: int = 0) -> int:
        with self._lock:
            disk = self._disk(disk_id)
            if fork_id not in self._disks:
                self._disks[fork_id] = disk.fork(point_id, size)
            return self._disks[fork_id].size

    def stand_alone(
        self, disk_id: str, progress: Callable[[Filling], None] = lambda told: None
    ) -> None:
        with self._lock:
            self._disk(disk_id)

    def grow(self, disk_id: str, size: int) -> None:
        with self._lock:
            disk = self._disk(disk_id)
            if size < disk.size:
                raise EngineError(
                    f"disk {disk_id} has {disk.size} bytes: it cannot shrink to {size}"
                )
            if size > disk.size:
                disk.put_on_top(GROWN, size)
                disk.merge()
            self._clients.pop(disk_id, None)

    def revert(
        self, disk_id: str, source: Source, point_id: str, *, size: int, keep: bool = True
    ) -> None:
        with self._lock:
            disk = self._disk(disk_id)
            if disk.reverted_at == point_id:
                return
            if source.size > max(size, disk.size):
                raise EngineError(f"disk {disk_id} cannot hold {source.size} bytes")
            if self._clients.get(disk_id):
                raise DiskBusyError(f"a client is connected to disk {disk_id}")
            disk.revert(source, point_id, size=max(size, disk.size), keep=keep)

    def past(self, disk_id: str) -> Past | None:
        with self._lock:
            disk = self._disk(disk_id)
            at = disk.reverted_at
            return None if at is None else Past(at, disk.past_points())

    def delete(self, disk_id: str) -> None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is not None and disk.instance is not None:
                raise EngineError(f"disk {disk_id} is attached to instance {disk.instance}")
            self._disks.pop(disk_id, None)

    def describe(self, disk_id: str, text: bytes) -> None:
        with self._lock:
            self._disk(disk_id).description = text

    def description(self, disk_id: str) -> bytes | None:
        with self._lock:
            disk = self._disks.get(disk_id)
            return None if disk is None else disk.description

    def disks(self) -> Collection[str]:
        with self._lock:
            return list(self._disks)

    def descriptions(self) -> Mapping[str, bytes]:
        with self._lock:
            return {
                disk_id: disk.description
                for disk_id, disk in self._disks.items()
                if disk.description is not None
            }

    def health(self, disk_id: str) -> DiskHealth:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None:
                return DiskHealth(False, f"disk {disk_id} does not exist", damaged=True)
            return DiskHealth(True, "", len(disk.overlays) + 1, self.points(disk_id))

    def problem(self) -> str | None:
        return None

    def taken(self, disk_id: str) -> int | None:
        with self._lock:
            disk = self._disks.get(disk_id)
            return 0 if disk is None else BLOCK_SIZE * disk.stored_blocks

    # --- attaching

    def attach(self, instance_id: str, export: Export) -> None:
        with self._lock:
            disk = self._disk(export.disk_id)
            if disk.instance not in (None, instance_id):
                raise EngineError(f"disk {export.disk_id} is attached to instance {disk.instance}")
            if disk.instance == instance_id and disk.export != export.name:
                raise EngineError(f"disk {export.disk_id} is already served as {disk.export!r}")
            for other_id, other in self._disks.items():
                if (other.instance, other.export) == (instance_id, export.name) and other != disk:
                    raise EngineError(f"disk {other_id} is already served as {export.name!r}")
            disk.instance, disk.export = instance_id, export.name

    def detach(self, instance_id: str, disk_id: str, *, force: bool = False) -> None:
        with self._lock:
            disk = self._disk(disk_id)
            if disk.instance != instance_id:
                return
            if self._clients.get(disk_id) and not force:
                raise DiskBusyError(f"a client is connected to disk {disk_id}")
            self._clients.pop(disk_id, None)
            disk.instance = None

    def stop(self, instance_id: str) -> None:
        with self._lock:
            for disk_id, disk in self._disks.items():
                if disk.instance == instance_id:
                    self.detach(instance_id, disk_id, force=True)

    def served(self) -> Mapping[str, Sequence[str]]:
        with self._lock:
            found: dict[str, list[str]] = {}
            for disk_id, disk in self._disks.items():
                if disk.instance is not None:
                    found.setdefault(disk.instance, []).append(disk_id)
            return found

    def uri(self, instance_id: str, export_name: str) -> str:
        return f"nbd+unix:///{quote(export_name, safe='')}?socket=/nonexistent/{instance_id}"

    def clients(self, disk_id: str) -> Clients:
        with self._lock:
            users = self._clients.get(disk_id, Counter())
            connected = [Client(pid, None, number) for pid, number in users.items()]
            return Clients(connected, self._refused.get(disk_id, ""))

    def adopt(self, wanted: Mapping[str, Sequence[Export]]) -> None:
        with self._lock:
            pairs = {
                (instance, export.disk_id): export
                for instance, exports in wanted.items()
                for export in exports
            }
            for disk_id, disk in self._disks.items():
                if disk.instance is not None and (disk.instance, disk_id) not in pairs:
                    self.detach(disk.instance, disk_id, force=True)
            for (instance, disk_id), export in pairs.items():
                if disk_id in self._disks:
                    self.attach(instance, export)

    @property
    def shared(self) -> bool:
        return False

    def owner(self, disk_id: str) -> str | None:
        del disk_id
        return None

    def fence(self, host: str) -> Sequence[str]:
        raise EngineError(f"the host {host} cannot be fenced: disks in memory are this server's")

    def is_shut_out(self, host: str) -> bool:
        del host
        return False

    # --- freezing

    def freeze(self, points: Mapping[str, str]) -> Freeze:
        with self._lock:
            disks = {disk_id: self._disk(disk_id) for disk_id in points}
            if len({disk.instance for disk in disks.values()}) > 1:
                raise EngineError("disks can be frozen together only if one instance has them all")
            for disk_id, point in points.items():
                if point not in disks[disk_id].points():
                    disks[disk_id].put_on_top(point)
            return Freeze(0.0)

    def points(self, disk_id: str) -> Sequence[str]:
        with self._lock:
            disk = self._disk(disk_id)
            known = dict.fromkeys(one for of in (*disk.past, disk) for one in of.points())
            return [one for one in known if one not in (ZERO_ORIGIN, GROWN)]

    def open_point(self, disk_id: str, point_id: str) -> FrozenImage:
        with self._lock:
            disk = self._disk(disk_id)
            for one in (disk, *reversed(disk.past)):
                if point_id in one.points()[1:] and point_id != GROWN:
                    disk.pinned[point_id] += 1
                    return one.open_point(point_id, lambda: self._unpin(disk, point_id))
            raise PointNotFoundError(f"disk {disk_id} has no frozen point {point_id}")

    def release(self, disk_id: str, point_id: str, *, stored: bool) -> None:
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None:
                return
            disk.released[point_id] = stored or disk.released.get(point_id, False)
            for past in disk.past:
                past.released[point_id] = stored
            disk.merge()

    def settle(self, timeout: float = 30.0) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held outside of the object."""

    def _unpin(self, disk: MemoryDisk, point: str) -> None:
        with self._lock:
            disk.pinned[point] -= 1
            disk.merge()

    def _made_before(self, disk_id: str, size: int, *, may_have_grown: bool = False) -> bool:
        known = self._disks.get(disk_id)
        if known is not None and known.size != size and not (may_have_grown and known.size > size):
            raise EngineError(f"disk {disk_id} already exists with {known.size} bytes")
        return known is not None

    def _disk(self, disk_id: str) -> MemoryDisk:
        disk = self._disks.get(disk_id)
        if disk is None:
            raise EngineError(f"disk {disk_id} does not exist")
        return disk

    def _attached(self, disk_id: str) -> MemoryDisk:
        disk = self._disk(disk_id)
        if disk.instance is None:
            raise EngineError(f"disk {disk_id} is not attached")
        return disk
