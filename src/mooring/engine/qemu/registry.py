"""The disks and instances that the engine knows while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.daemon.latecomers import Connections, Nobody
from mooring.engine.qemu.daemon.settings import DaemonSettings
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.instances import Instance
from mooring.engine.qemu.layers.disk_layers import DiskLayers
from mooring.engine.qemu.layers.layer import check_id, layer_folders
from mooring.engine.qemu.layers.past import past_layers
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.clock import Clock
from mooring.model.errors import EngineError


@dataclass
class Registry:
    """Makes an entry for each id asked for; whether a disk exists, its layers tell."""

    store: LayerStore
    disks_folder: Path
    own_folder: Path
    """Where what only this server puts together is."""
    run_dir: Path
    settings: DaemonSettings
    clock: Clock
    started: Callable[[], None] = lambda: None
    """Told of each daemon that has been started."""
    connections: Connections = field(default_factory=Nobody)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _disks: dict[str, LiveDisk] = field(default_factory=dict)
    _instances: dict[str, Instance] = field(default_factory=dict)

    @property
    def trash(self) -> Path:
        """Where the folders of disks go that are being removed."""
        return self.own_folder / "trash"

    def disk(self, disk_id: str) -> LiveDisk:
        """The disk of that id, existing or not."""
        with self._lock:
            disk = self._disks.get(disk_id)
            if disk is None:
                layers = DiskLayers(self.disks_folder, disk_id, store=self.store)
                disk = self._disks[disk_id] = LiveDisk(
                    layers, past_layers(self.disks_folder, layers)
                )
                return disk
        if self.store.shared and disk.is_idle:
            self._look_again(disk)
        return disk

    def _look_again(self, disk: LiveDisk) -> None:
        """Another host may have reverted the disk since this one had it."""
        # Whoever has the lock has looked, or the disk is this host's now.
        if not disk.lock.acquire(blocking=False):
            return
        try:
            folder = layer_folders(self.store, disk.layers.home)[-1]
            if disk.is_idle and folder != disk.layers.folder:
                layers = DiskLayers(self.disks_folder, disk.layers.disk_id, store=self.store)
                disk.begin_again(layers, past_layers(self.disks_folder, layers))
        finally:
            disk.lock.release()

    def existing(self, disk_id: str) -> LiveDisk:
        """The disk of that id. Raises EngineError if it does not exist."""
        disk = self.disk(disk_id)
        if not disk.layers.exist():
            raise EngineError(f"disk {disk_id} does not exist")
        return disk

    def instance(self, instance_id: str) -> Instance:
        """The instance of that id, with disks or without."""
        check_id(instance_id)
        with self._lock:
            instance = self._instances.get(instance_id)
            if instance is None:
                instance = self._instances[instance_id] = Instance(
                    instance_id,
                    self.run_dir / instance_id,
                    self.settings,
                    self.clock,
                    self.daemon_in,
                    lambda disk_id: self.disk(disk_id).layers,
                    lambda: self.started(),  # noqa: PLW0108 - set only later
                )
            return instance

    def instance_in(self, folder: Path) -> Instance | None:
        """The instance whose daemon is in that folder, if it was asked for so far."""
        with self._lock:
            instance = self._instances.get(folder.name)
        return instance if instance is not None and instance.folder == folder else None

    def instances(self) -> list[Instance]:
        """All instances asked for so far."""
        with self._lock:
            return list(self._instances.values())

    def used(self) -> set[str]:
        """The disks of which a daemon of this host has layers open, or is to have."""
        attached = {disk_id for one in self.instances() for disk_id in one.exports}
        with self._lock:
            return attached | {one for one, disk in self._disks.items() if not disk.is_idle}

    def daemon_in(self, folder: Path) -> Daemon:
        """A daemon, not started or connected yet."""
        return Daemon(folder, self.settings, self.clock, self.connections, self.store)
