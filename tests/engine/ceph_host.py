"""A host among several that share a Ceph cluster."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from mooring.engine.qemu.stores.rbd.rbd_store import RbdStore
from mooring.model.clock import SystemClock
from tests.ceph_cluster import CephCluster, new_host
from tests.engine.harness import QemuHarness, new_id


class Host(QemuHarness):
    """An engine on a host of its own: with its folders, its daemons, its clients of the cluster."""

    def __init__(self, ceph: CephCluster, folder: Path, run_dir: Path, name: str) -> None:
        self.host, self.name = new_host(), f"{name}-{new_id()[:8]}"
        super().__init__(
            folder / name,
            run_dir / name,
            store=lambda: RbdStore(ceph.place(), self.host, SystemClock(), self.name),
        )

    @property
    def rbd(self) -> RbdStore:
        store = self.qemu._store
        assert isinstance(store, RbdStore)
        return store

    def processes(self, *instances: str) -> list[int]:
        """Whatever of this host speaks to the cluster."""
        own = self.rbd.client.pid()
        assert own is not None
        return [own, *(self.daemon_pid(one) for one in instances)]

    def close(self) -> None:
        own = self.rbd.client.pid()
        if own is not None:
            os.kill(own, signal.SIGKILL)  # it may be stopped
        super().close()
