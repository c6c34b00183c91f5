"""Whether disks that are to be made were made before: layers know more than catalogs."""

from __future__ import annotations

from collections.abc import Collection

from mooring.engine.interface import Engine


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
