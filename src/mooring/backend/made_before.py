"""Whether disks that are to be made were made before: layers know more than catalogs."""

from __future__ import annotations

from collections.abc import Collection

from mooring.engine.interface import Engine
from mooring.model.errors import DescriptionError
from mooring.model.resources.disk_description import decode


def made_before(engine: Engine, disk_ids: Collection[str]) -> Collection[str]:
    """Those that are there of disks which were made, and perhaps used since; none of new ones.

    `disk_ids` are made together. A copy of the catalog that was put back, or one that lost its
    last records, may know them as being made. What lies beside the layers of a disk describes it
    only once a catalog had it as made: whoever has this is neither made nor taken back again, and
    what is not there any more beside it was deleted since. Raises EngineError.
    """
    if all(engine.description(disk_id) is None for disk_id in disk_ids):
        return ()
    there = engine.disks()
    return [disk_id for disk_id in disk_ids if disk_id in there]


def descends(engine: Engine, disk_id: str, snapshot_id: str) -> bool:
    """Whether what lies here of a disk was made of that snapshot, or of what came of it.

    So a host tells what came to it by this snapshot from what it had of the disk at a former time.
    Raises EngineError.
    """
    text = engine.description(disk_id)
    try:
        disk = None if text is None else decode(text).disk
    except DescriptionError:
        return False
    return disk is not None and snapshot_id in (disk.origin_id, *disk.ancestors)
