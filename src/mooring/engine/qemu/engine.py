"""The engine on qemu-storage-daemon: docs/design/engine.md says why it is as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import structlog

from mooring.engine.interface import (
    Clients,
    DiskHealth,
    Export,
    Filling,
    Freeze,
    FrozenImage,
    IsOurs,
    MayShare,
    Past,
    Source,
    always_ours,
    never_shared,
)
from mooring.engine.qemu import (
    attaching,
    creating,
    descriptions,
    filling,
    forking,
    health,
    reverting,
)
from mooring.engine.qemu.adoption import adopt_all
from mooring.engine.qemu.creating import check_holds, check_size
from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.freezing import freeze
from mooring.engine.qemu.growing import grow
from mooring.engine.qemu.layers.layer import check_id
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.reading.frozen import QemuFrozenImage
from mooring.engine.qemu.starting import start
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.engine.qemu.users.guard import Guard
from mooring.engine.qemu.watcher import Watcher
from mooring.model.clock import Clock
from mooring.model.errors import EngineError
from mooring.model.extents import Image

log = structlog.get_logger("mooring.engine")


class QemuEngine:
    """Live disks as layer files below `root`, served by storage daemons with sockets in `run_dir`.

    Both folders belong to one server at a time: a second one is refused.
    """

    def __init__(
        self,
        root: Path,
        run_dir: Path,
        clock: Clock,
        settings: DaemonSettings | None = None,
        may_share: MayShare = never_shared,
        store: LayerStore | None = None,
        is_ours: IsOurs = always_ours,
    ) -> None:
        """`may_share` tells of a disk's id whether several processes may use it at once.

        `is_ours` is asked where other hosts reach the layers, too. Raises ConfigurationError.
        """
        self._store = DIRECTORY if store is None else store
        with contextlib.ExitStack() as held:
            self._registry = start(
                root.absolute(),
                run_dir.absolute(),
                clock,
                settings or DaemonSettings(),
                self._store,
                held,
            )
            self._held = held.pop_all()
        self._merger = Merger(self._registry, is_ours)
        self._watcher = Watcher(self._registry.instances, clock)
        self._guard = Guard(self._registry.instances, self._registry.instance_in, clock, may_share)
        self._registry.started = self._guard.wake
        self._store.watch(self._was_fenced)
        self._registry.connections = self._guard

    # --- disks

    def create(self, disk_id: str, size: int) -> None:
        check_size(disk_id, size)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            creating.create(disk, size)

    def clone(
        self,
        disk_id: str,
        size: int,
        source: Image,
        origin: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        check_holds(disk_id, size, source)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            creating.clone(disk, size, source, origin, self._registry.trash, progress)

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        check_holds(disk_id, size, source)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            creating.begin_clone(disk, size, source)

    def fill(
        self,
        disk_id: str,
        source: Image,
        progress: Callable[[Filling], None] = lambda told: None,
        *,
        snapshot_id: str | None = None,
    ) -> None:
        disk = self._registry.existing(disk_id)
        filling.fill_base(self._registry, self._merger, disk, source, snapshot_id, progress)

    def filling(self, disk_id: str) -> Filling | None:
        disk = self._registry.disk(disk_id)
        return filling.status(disk) or forking.status(disk)

    def fork(self, disk_id: str, point_id: str, fork_id: str, size: int = 0) -> int:
        check_id(point_id)
        if size:
            check_size(fork_id, size)
        staging = self._registry.own_folder / forking.STAGING
        return forking.fork(self._registry, self._merger, staging, disk_id, point_id, fork_id, size)

    def stand_alone(
        self, disk_id: str, progress: Callable[[Filling], None] = lambda told: None
    ) -> None:
        forking.stand_alone(self._registry, self._merger, disk_id, progress)

    def grow(self, disk_id: str, size: int) -> None:
        check_size(disk_id, size)
        disk = self._registry.existing(disk_id)
        try:
            with disk.lock:
                grow(self._registry, disk, size)
        finally:
            self._watcher.wake()
            self._merger.wake(disk_id)

    def revert(
        self, disk_id: str, source: Source, point_id: str, *, size: int, keep: bool = True
    ) -> None:
        check_id(point_id)
        check_holds(disk_id, size, source)
        disk = self._registry.existing(disk_id)
        place = filling.place_of(source)
        try:
            with disk.lock:
                reverting.revert(
                    self._registry,
                    self._merger,
                    disk,
                    source,
                    place,
                    point_id,
                    size=size,
                    keep=keep,
                )
        finally:
            self._watcher.wake()
            self._merger.wake(disk_id)

    def past(self, disk_id: str) -> Past | None:
        disk = self._registry.existing(disk_id)
        with disk.lock:
            point = disk.layers.reverted_at
            left = [one for past in disk.past for one in past.points()]
            return None if point is None else Past(point, left)

    def delete(self, disk_id: str) -> None:
        disk = self._registry.disk(disk_id)
        forked = disk.layers.forked_from()
        with disk.lock:
            if disk.instance_id is not None:
                raise EngineError(
                    f"disk {disk_id} is attached to instance {disk.instance_id}: detach it first"
                )
            self._merger.stop(disk)
            disk.layers.check_unused()
            disk.layers.remove_all(self._registry.trash)
            disk.past.clear()
        for one in forked:
            self._merger.wake(one)

    def describe(self, disk_id: str, text: bytes) -> None:
        descriptions.write(self._store, self._registry.disks_folder, disk_id, text)

    def description(self, disk_id: str) -> bytes | None:
        return descriptions.read(self._store, self._registry.disks_folder, disk_id)

    def disks(self) -> Collection[str]:
        folder = self._registry.disks_folder
        try:
            return self._store.names(folder)
        except OSError as error:
            raise EngineError(f"the disks in {folder} cannot be listed: {error}") from error

    def descriptions(self) -> Mapping[str, bytes]:
        return descriptions.read_all(self._store, self._registry.disks_folder)

    def health(self, disk_id: str) -> DiskHealth:
        disk = self._registry.disk(disk_id)
        with disk.lock:
            return health.of_disk(self._registry, disk)

    def problem(self) -> str | None:
        return health.problem(self._registry)

    def taken(self, disk_id: str) -> int | None:
        check_id(disk_id)
        return self._store.taken(self._registry.disks_folder / disk_id)

    # --- attaching

    def attach(self, instance_id: str, export: Export) -> None:
        disk = self._registry.disk(export.disk_id)
        instance = self._registry.instance(instance_id)
        with disk.lock:
            attaching.attach(self._merger, disk, instance, export)
        self._watcher.wake()
        self._guard.wake()
        self._merger.wake(export.disk_id)

    def detach(self, instance_id: str, disk_id: str, *, force: bool = False) -> None:
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if disk.instance_id != instance_id:
                return
            attaching.detach(disk, self._registry.instance(instance_id), force=force)
        self._merger.wake(disk_id)

    def stop(self, instance_id: str) -> None:
        for disk_id in list(self._registry.instance(instance_id).exports):
            self.detach(instance_id, disk_id, force=True)

    def served(self) -> Mapping[str, Sequence[str]]:
        instances = self._registry.instances()
        return {one.instance_id: list(one.exports) for one in instances if one.exports}

    def uri(self, instance_id: str, export_name: str) -> str:
        socket = self._registry.instance(instance_id).folder / process.NBD_SOCKET
        return f"nbd+unix:///{quote(export_name, safe='')}?socket={quote(str(socket))}"

    def clients(self, disk_id: str) -> Clients:
        disk = self._registry.disk(disk_id)
        if disk.instance_id is None:
            return Clients()
        instance = self._registry.instance(disk.instance_id)
        export = instance.exports.get(disk_id)
        return Clients() if export is None else self._guard.clients(instance, export.name)

    def adopt(self, wanted: Mapping[str, Sequence[Export]]) -> None:
        adopt_all(self._registry, wanted, self.attach)
        self._watcher.wake()
        self._guard.wake()
        for exports in wanted.values():
            for export in exports:
                self._merger.wake(export.disk_id)

    @property
    def shared(self) -> bool:
        return self._store.shared

    def owner(self, disk_id: str) -> str | None:
        return self._store.owner(disk_id)

    def fence(self, host: str) -> Sequence[str]:
        return self._store.fence(host)

    def is_shut_out(self, host: str) -> bool:
        return self._store.is_shut_out(host)

    # --- freezing

    def freeze(self, points: Mapping[str, str]) -> Freeze:
        frozen = freeze(self._registry, points)
        for disk_id in points:
            self._merger.wake(disk_id)
        return frozen

    def points(self, disk_id: str) -> Sequence[str]:
        disk = self._registry.existing(disk_id)
        with disk.lock:
            return disk.points()

    def open_point(self, disk_id: str, point_id: str) -> FrozenImage:
        disk = self._registry.existing(disk_id)
        with disk.lock:
            layers = disk.below(point_id)
            image = QemuFrozenImage(layers, point_id, lambda: self._unpin(disk, point_id))
            disk.pinned[point_id] += 1
            return image

    def release(self, disk_id: str, point_id: str, *, stored: bool) -> None:
        check_id(point_id)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if not disk.release(point_id, stored=stored):
                return
        self._merger.wake(disk_id)

    def settle(self, timeout: float = 30.0) -> bool:
        return self._merger.settle(timeout)

    def close(self) -> None:
        self._guard.close()
        self._watcher.close()
        self._merger.close()
        for instance in self._registry.instances():
            instance.forget()
        self._held.close()

    # ---

    def _was_fenced(self) -> None:
        """Other hosts may use the disks now: nothing of them is served here any more."""
        log.error(
            "this host was fenced: its storage daemons are ended, and it serves no disks of "
            "the cluster until it is started again"
        )
        for instance in self._registry.instances():
            instance.cut_off("this host was fenced, and its disks may be in use elsewhere")

    def _unpin(self, disk: LiveDisk, point_id: str) -> None:
        with disk.lock:
            disk.pinned[point_id] -= 1
        self._merger.wake(disk.layers.disk_id)
