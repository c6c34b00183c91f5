"""The engine's start: its folders are held, leftovers of an earlier one removed."""

from __future__ import annotations

import contextlib
from pathlib import Path

from mooring.engine.qemu import forking, reverting
from mooring.engine.qemu.adoption import end_all_daemons
from mooring.engine.qemu.daemon import process
from mooring.engine.qemu.daemon.settings import DaemonSettings, fitting
from mooring.engine.qemu.folder_lock import only_one
from mooring.engine.qemu.merging.offline import FOLDER_PREFIX
from mooring.engine.qemu.registry import Registry
from mooring.engine.qemu.stores.store import LayerStore
from mooring.model.clock import Clock

_UUID_LENGTH = 36
_STAGING = (forking.STAGING, reverting.STAGING)


def start(
    root: Path,
    run_dir: Path,
    clock: Clock,
    settings: DaemonSettings,
    store: LayerStore,
    held: contextlib.ExitStack,
) -> Registry:
    """The registry of the disks below `root`. What is to be let go in the end is in `held`.

    Raises ConfigurationError.
    """
    process.check_socket_path(run_dir, len(FOLDER_PREFIX) + _UUID_LENGTH)
    for folder in (root, run_dir):
        held.enter_context(only_one(folder))
    settings = fitting(settings, root)
    process.share_all(run_dir, settings.socket_group)
    held.callback(store.close)
    disks_folder, own = store.start(root, run_dir)
    registry = Registry(store, disks_folder, own, run_dir, settings, clock)
    # Not the folder itself: on a full file system it could not be made again.
    for folder in (registry.trash, *(own / name for name in _STAGING)):
        for doomed in store.names(folder):
            with contextlib.suppress(OSError):
                store.remove_folder(folder / doomed)
    if store.was_fenced():
        end_all_daemons(run_dir)
        store.come_back()
    store.make_folder(disks_folder)
    return registry
