"""Taking over, at the server's start, daemons that an earlier server left.

Each daemon found is asked what it serves. What is wanted and served continues untouched: only
overlays that a freeze made but never used are removed, and a running merge is waited for. What is
served but not wanted ends; what is wanted but not served is attached. Daemons that were started
for merges end, because nobody depends on them.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from mooring.engine.interface import Export
from mooring.engine.qemu.daemon.daemon import Daemon
from mooring.engine.qemu.daemon.process import find_started
from mooring.engine.qemu.freezing import reconcile
from mooring.engine.qemu.instances import Instance
from mooring.engine.qemu.merging.offline import FOLDER_PREFIX, end_offline
from mooring.engine.qemu.registry import Registry
from mooring.host.qmp import QmpClosedError, QmpSilenceError
from mooring.model.errors import EngineError, MooringError

_WORKERS = 8
_ADOPTION = "adoption"

log = structlog.get_logger("mooring.engine")

Attach = Callable[[str, Export], None]


def adopt_all(registry: Registry, wanted: Mapping[str, Sequence[Export]], attach: Attach) -> None:
    """Bring what runs and what is wanted together; broken disks end up in `problems`."""
    strays = []
    for folder in registry.run_dir.iterdir():
        if folder.is_dir() and folder.name not in wanted:
            strays.append(folder.name)
    # Strays first: a disk may be wanted elsewhere than where it is served.
    with ThreadPoolExecutor(_WORKERS, "adopt") as pool:
        ended = list(pool.map(lambda name: _end_stray(registry, name), strays))
        list(pool.map(lambda name: _adopt(registry, name, wanted[name], attach), wanted))
    if not all(ended):
        return
    try:
        # Also what daemons had that died with the host.
        registry.store.let_go(registry.used())
    except EngineError as error:
        log.warning("disks that nobody uses here count as in use", why=str(error))


def end_all_daemons(run_dir: Path) -> None:
    """End whatever runs there at once: the host was fenced, and nothing of it arrives anyhow."""
    for folder in run_dir.iterdir():
        daemon = find_started(folder) if folder.is_dir() else None
        if daemon is not None:
            with daemon:
                daemon.kill()
            log.warning("a storage daemon was ended, because this host was fenced", folder=folder)


def _end_stray(registry: Registry, name: str) -> bool:
    """End the daemon there, which nobody wants; whether none is left."""
    daemon = registry.daemon_in(registry.run_dir / name)
    try:
        daemon.connect()
        if name.startswith(FOLDER_PREFIX):
            disk_id = name.removeprefix(FOLDER_PREFIX)
            end_offline(daemon, disk_id)
        else:
            daemon.quit()
    except QmpClosedError:
        pass  # it has ended already
    except EngineError:
        return False  # its disks stay locked by it, and say so when they are used
    finally:
        daemon.forget()
    with contextlib.suppress(OSError):
        shutil.rmtree(daemon.folder)
    return True


def _adopt(registry: Registry, instance_id: str, exports: Sequence[Export], attach: Attach) -> None:
    instance = registry.instance(instance_id)
    daemon = registry.daemon_in(instance.folder)
    try:
        daemon.connect()
        instance.take(daemon)
        _drop_unwanted(daemon, exports)
        for export in exports:
            if export.disk_id in daemon.exports.served():
                _keep(registry, instance, daemon, export)
            else:
                # Clients come again, and would give up if this one was not there yet.
                instance.door.close(_ADOPTION)
                _close(daemon, export.disk_id)
    except QmpClosedError:
        # Not running, or it has just died: attaching starts it.
        instance.door.close(_ADOPTION)
    except QmpSilenceError as error:
        instance.take(daemon)
        for export in exports:
            _note(registry, instance, export, str(error))
        return
    try:
        for export in exports:
            if export.disk_id not in instance.exports:
                try:
                    attach(instance_id, export)
                except MooringError as error:
                    _note(registry, instance, export, str(error))
    finally:
        instance.door.open(_ADOPTION)
    # Also what a server before this one has kept closed: for a growth, or to keep somebody off.
    if instance.exports:
        instance.door.publish()
    instance.end_if_idle()


def _drop_unwanted(daemon: Daemon, exports: Sequence[Export]) -> None:
    for disk_id, served in daemon.exports.served().items():
        if served.export not in exports:
            daemon.exports.remove(served.export, force=True)
            _close(daemon, disk_id)


def _close(daemon: Daemon, disk_id: str) -> None:
    """Close the layers of a disk that is not exported, or whose growth was interrupted."""
    daemon.merges.end(disk_id)
    daemon.layers.drop(disk_id)


def _keep(registry: Registry, instance: Instance, daemon: Daemon, export: Export) -> None:
    disk = registry.disk(export.disk_id)
    with disk.lock:
        instance.exports[export.disk_id] = export
        disk.instance_id = instance.instance_id
        disk.in_doubt = disk.unswept = True
        try:
            reconcile(disk, daemon)
            disk.layers.remove_leftovers()
        except (QmpClosedError, QmpSilenceError):
            raise
        except MooringError as error:
            instance.problems[export.disk_id] = str(error)


def _note(registry: Registry, instance: Instance, export: Export, problem: str) -> None:
    """Count the disk as attached, with a problem, so that it can be detached or tried again."""
    disk = registry.disk(export.disk_id)
    with disk.lock:
        if disk.instance_id in (None, instance.instance_id):
            disk.instance_id = instance.instance_id
            instance.exports[export.disk_id] = export
            instance.problems[export.disk_id] = problem
