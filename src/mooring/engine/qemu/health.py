"""How a disk is, its layers and its daemon; what keeps all from working."""

from __future__ import annotations

import shutil

from mooring.engine.interface import DiskHealth
from mooring.engine.qemu.disk import LiveDisk
from mooring.engine.qemu.layers.layer import Layer, points
from mooring.engine.qemu.registry import Registry
from mooring.host.qmp import QmpSilenceError
from mooring.model.errors import LayerDamagedError, MooringError


def of_disk(registry: Registry, disk: LiveDisk) -> DiskHealth:
    """What can be seen of the disk now. The caller holds its lock."""
    overlays: list[Layer] = []
    damaged = False
    try:
        overlays = disk.layers.overlays()
        disk.layers.check()
        problem = disk.merge_problem
        if disk.instance_id is not None:
            instance = registry.instance(disk.instance_id)
            problem = instance.problems.get(disk.layers.disk_id, problem)
            if not problem:
                instance.daemon().ping()
    except QmpSilenceError as error:
        problem = f"{error}; if that persists, end it: another one takes its place"
    except MooringError as error:
        damaged = isinstance(error, LayerDamagedError)
        problem = str(error)
    known = points(overlays)
    return DiskHealth(not problem, problem, len(overlays) + 1, known, damaged)


def problem(registry: Registry) -> str | None:
    """What is wrong for all disks; None if nothing is."""
    program = registry.settings.program
    if shutil.which(program) is None:
        return f"there is no {program}: install QEMU's tools"
    try:
        there = registry.store.exists(registry.disks_folder)
    except (MooringError, OSError):
        return "what the disks are on does not answer"
    return None if there else "what the disks are on is not there: mount it, or put it back"
