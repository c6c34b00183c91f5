"""The engine on qemu-storage-daemon: docs/design/engine.md says why it is as it is."""

from __future__ import annotations

import contextlib
import shutil
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
    MayShare,
    Past,
    Source,
    never_shared,
)
from mooring.engine.lineage import ZERO_ORIGIN
from mooring.engine.qemu import descriptions, filling, forking, reverting
from mooring.engine.qemu.adoption import adopt_all, end_all_daemons
from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.settings import DaemonSettings, fitting
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.folder_lock import only_one
from mooring.engine.qemu.freezing import freeze
from mooring.engine.qemu.growing import grow
from mooring.engine.qemu.layers.disk_layers import io_errors
from mooring.engine.qemu.layers.layer import Layer, check_id, points
from mooring.engine.qemu.merging.merger import Merger
from mooring.engine.qemu.merging.offline import FOLDER_PREFIX
from mooring.engine.qemu.reading.frozen import QemuFrozenImage
from mooring.engine.qemu.registry import Registry
from mooring.engine.qemu.stores.directory import DIRECTORY
from mooring.engine.qemu.stores.store import LayerStore
from mooring.engine.qemu.users.guard import Guard
from mooring.engine.qemu.watcher import Watcher
from mooring.host.group_access import check_way, share_folder
from mooring.host.qmp import QmpSilenceError
from mooring.model.clock import Clock
from mooring.model.errors import (
    EngineError,
    LayerDamagedError,
    MooringError,
)
from mooring.model.extents import BLOCK_SIZE, Image

_UUID_LENGTH = 36
_STAGING = (forking.STAGING, reverting.STAGING)

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
    ) -> None:
        """`may_share` tells of a disk's id whether several processes may use it at once.

        Raises ConfigurationError.
        """
        self._root = root.absolute()
        self._run_dir = run_dir.absolute()
        self._clock = clock
        self._store = DIRECTORY if store is None else store
        process.check_socket_path(self._run_dir, len(FOLDER_PREFIX) + _UUID_LENGTH)
        with contextlib.ExitStack() as locks:
            for folder in (self._root, self._run_dir):
                locks.enter_context(only_one(folder))
            self._settings = fitting(settings or DaemonSettings(), self._root)
            self._share()
            locks.callback(self._store.close)
            disks_folder, own = self._store.start(self._root, self._run_dir)
            self._trash = own / "trash"
            # Not the folder itself: on a full file system it could not be made again.
            for folder in (self._trash, *(own / name for name in _STAGING)):
                for doomed in self._store.names(folder):
                    with contextlib.suppress(OSError):
                        self._store.remove_folder(folder / doomed)
            if self._store.was_fenced():
                end_all_daemons(self._run_dir)
                self._store.come_back()
            self._store.make_folder(disks_folder)
            self._registry = Registry(
                self._store, disks_folder, own, self._run_dir, self._settings, clock
            )
            self._locks = locks.pop_all()
        self._merger = Merger(self._registry)
        self._watcher = Watcher(self._registry.instances, clock)
        self._guard = Guard(self._registry.instances, self._registry.instance_in, clock, may_share)
        self._registry.started = self._guard.wake
        self._store.watch(self._was_fenced)
        self._registry.connections = self._guard

    def _share(self) -> None:
        """Let the group of the settings use what is served here, also by daemons that run on."""
        group = self._settings.socket_group
        share_folder(self._run_dir, group)
        for folder in self._run_dir.iterdir():
            if folder.is_dir() and not folder.is_symlink():
                process.share(folder, group)
        if group is not None:
            check_way(self._run_dir, group)

    # --- disks

    def create(self, disk_id: str, size: int) -> None:
        _check_size(disk_id, size)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if _made_before(disk, size):
                return
            disk.layers.make_base(size)
            disk.layers.add_overlay(ZERO_ORIGIN)

    def clone(
        self,
        disk_id: str,
        size: int,
        source: Image,
        origin: str,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        _check_size(disk_id, size)
        _check_fits(disk_id, size, source.size)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if _made_before(disk, size):
                return
            try:
                with (
                    io_errors(disk_id),
                    contextlib.closing(disk.layers.begin_base(size)) as base,
                ):
                    base.fill(source, progress)
                disk.layers.finish_base()
                disk.layers.add_overlay(origin)
            except BaseException:
                disk.layers.remove_all(self._trash)
                raise

    def begin_clone(self, disk_id: str, size: int, source: Source) -> None:
        _check_size(disk_id, size)
        _check_fits(disk_id, size, source.size)
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if _made_before(disk, size, may_have_grown=True):
                filling.renew(disk, source)
            else:
                filling.begin(disk, size, source)

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
            _check_size(fork_id, size)
        staging = self._registry.own_folder / forking.STAGING
        return forking.fork(self._registry, self._merger, staging, disk_id, point_id, fork_id, size)

    def stand_alone(
        self, disk_id: str, progress: Callable[[Filling], None] = lambda told: None
    ) -> None:
        forking.stand_alone(self._registry, self._merger, disk_id, progress)

    def grow(self, disk_id: str, size: int) -> None:
        _check_size(disk_id, size)
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
        _check_size(disk_id, size)
        _check_fits(disk_id, size, source.size)
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
            disk.layers.remove_all(self._trash)
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
            overlays: list[Layer] = []
            damaged = False
            try:
                overlays = disk.layers.overlays()
                disk.layers.check()
                problem = disk.merge_problem
                if disk.instance_id is not None:
                    instance = self._registry.instance(disk.instance_id)
                    problem = instance.problems.get(disk_id, problem)
                    if not problem:
                        instance.daemon().ping()
            except QmpSilenceError as error:
                problem = f"{error}; if that persists, end it: another one takes its place"
            except MooringError as error:
                damaged = isinstance(error, LayerDamagedError)
                problem = str(error)
            known = points(overlays)
            return DiskHealth(not problem, problem, len(overlays) + 1, known, damaged)

    def problem(self) -> str | None:
        if shutil.which(self._settings.program) is None:
            return f"there is no {self._settings.program}: install QEMU's tools"
        try:
            there = self._store.exists(self._registry.disks_folder)
        except (MooringError, OSError):
            return "what the disks are on does not answer"
        return None if there else "what the disks are on is not there: mount it, or put it back"

    def taken(self, disk_id: str) -> int | None:
        check_id(disk_id)
        return self._store.taken(self._registry.disks_folder / disk_id)

    # --- attaching

    def attach(self, instance_id: str, export: Export) -> None:
        disk = self._registry.disk(export.disk_id)
        instance = self._registry.instance(instance_id)
        with disk.lock:
            if disk.instance_id not in (None, instance_id):
                raise EngineError(
                    f"disk {export.disk_id} is attached to instance {disk.instance_id}"
                )
            known = instance.exports.get(export.disk_id)
            if known is not None and known != export:
                raise EngineError(f"disk {export.disk_id} is already served as {known.name!r}")
            if disk.instance_id is None:
                self._merger.stop_offline(disk)
                disk.layers.check()
                disk.layers.check_unused()
                disk.layers.remove_leftovers()
            instance.serve(export)
            disk.instance_id = instance_id
            disk.forget_merge_failures()
        self._watcher.wake()
        self._guard.wake()
        self._merger.wake(export.disk_id)

    def detach(self, instance_id: str, disk_id: str, *, force: bool = False) -> None:
        disk = self._registry.disk(disk_id)
        with disk.lock:
            if disk.instance_id != instance_id:
                return
            self._registry.instance(instance_id).unserve(disk_id, force=force)
            disk.instance_id = None
            disk.merge = None
            disk.forget_merge_failures()
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
            times = [*(past.layers for past in disk.past), disk.layers]
            return list(dict.fromkeys(one for of in times for one in points(of.overlays())))

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
            if point_id in points(disk.layers.overlays()):
                disk.released[point_id] = stored or disk.released.get(point_id, False)
            elif not disk.past:
                return
            for past in disk.past:
                past.released.add(point_id)
        self._merger.wake(disk_id)

    def settle(self, timeout: float = 30.0) -> bool:
        return self._merger.settle(timeout)

    def close(self) -> None:
        self._guard.close()
        self._watcher.close()
        self._merger.close()
        for instance in self._registry.instances():
            instance.forget()
        self._locks.close()

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


def _made_before(disk: LiveDisk, size: int, *, may_have_grown: bool = False) -> bool:
    if not disk.layers.exist():
        return False
    known = disk.layers.size()
    if known != size and not (may_have_grown and known > size):
        raise EngineError(f"disk {disk.layers.disk_id} already exists with {known} bytes")
    return True


def _check_size(disk_id: str, size: int) -> None:
    if size <= 0 or size % BLOCK_SIZE:
        raise EngineError(
            f"disk {disk_id} cannot have {size} bytes: a multiple of {BLOCK_SIZE} is needed"
        )


def _check_fits(disk_id: str, size: int, source_size: int) -> None:
    if source_size > size:
        raise EngineError(
            f"disk {disk_id} of {size} bytes cannot hold the {source_size} of its source"
        )
