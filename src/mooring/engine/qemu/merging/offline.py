"""Storage daemons that are started to merge the layers of a detached disk."""

from __future__ import annotations

import contextlib
import shutil

from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.registry import Registry
from mooring.model.errors import MooringError

FOLDER_PREFIX = "merge-"


def start_offline(registry: Registry, disk: LiveDisk) -> Daemon:
    """Start one that has the disk's layers open. The caller holds the disk's lock."""
    disk_id = disk.layers.disk_id
    disk.layers.check_unused()
    disk.layers.remove_leftovers()
    layers = disk.layers.check()
    daemon = registry.daemon_in(registry.run_dir / (FOLDER_PREFIX + disk_id))
    try:
        daemon.start()
        daemon.layers.add(disk_id, layers, writable=False)
    except BaseException:
        daemon.quit()
        with contextlib.suppress(MooringError):
            daemon.layers.ended(disk_id)
        raise
    return daemon


def end_offline(daemon: Daemon, disk_id: str) -> None:
    """End it; what its merge has not done is done again."""
    died = not daemon.alive()
    try:
        if not died:
            daemon.merges.end(disk_id)
    finally:
        daemon.quit()
        daemon.layers.ended(disk_id, died=died)
        with contextlib.suppress(OSError):
            shutil.rmtree(daemon.folder)
