"""Hosts whose disks are in a Ceph cluster, and the disks."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

from bench.ceph_cluster import POOL, SPACE, USER, Cluster
from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.process import find
from mooring.engine.qemu.engine import QemuEngine
from mooring.engine.qemu.stores.rbd.place import RbdPlace
from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from mooring.model.errors import EngineError

MIB = 1024 * 1024
BLOCK = 4096


class Host:
    """An engine that is a host of its own."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.run = folder / "run"
        place = RbdPlace(POOL, SPACE, USER, cluster.conf)
        self.name = f"{folder.name}-{uuid.uuid4().hex[:6]}"
        self.store = RbdStore(place, self.name, SystemClock())
        self.engine = QemuEngine(folder / "data", self.run, SystemClock(), store=self.store)

    def disk(self, size: int) -> Disk:
        """A new disk, attached."""
        export = Export(str(uuid.uuid4()), "disk")
        self.engine.create(export.disk_id, size)
        return self.attach(export)

    def attach(self, export: Export) -> Disk:
        """A disk that is there."""
        instance = str(uuid.uuid4())
        self.engine.attach(instance, export)
        return Disk(self, instance, export)

    def processes(self, disk: Disk) -> list[int]:
        """Whatever speaks to the cluster."""
        own = self.store.client.pid()
        return [disk.daemon(), *([own] if own else [])]


class Disk:
    """An attached disk."""

    def __init__(self, host: Host, instance: str, export: Export) -> None:
        self.host, self.instance, self.export = host, instance, export
        self.held: list[str] = []

    @property
    def uri(self) -> str:
        return self.host.engine.uri(self.instance, self.export.name)

    def daemon(self) -> int:
        process = find(self.host.run / self.instance)
        assert process is not None
        process.close()
        return process.pid

    def freeze(self) -> float:
        point = str(uuid.uuid4())
        while True:
            try:
                pause = self.host.engine.freeze({self.export.disk_id: point}).pause_seconds
                break
            except EngineError as error:
                if "not merged yet" not in str(error):
                    raise
                time.sleep(1.0)
        self.held.append(point)
        return pause

    def release(self, most: int = 0) -> None:
        while len(self.held) > most:
            point = self.held.pop(0)
            self.host.engine.release(self.export.disk_id, point, stored=True)

    def close(self) -> None:
        self.host.engine.detach(self.instance, self.export.disk_id, force=True)
        self.host.engine.delete(self.export.disk_id)
