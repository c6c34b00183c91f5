"""Whose tags decide who may see a snapshot."""

from __future__ import annotations

from collections.abc import Collection

from mooring.catalog.transaction import Transaction
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.tags import Tags


def owners(
    transaction: Transaction, snapshots: Collection[DiskSnapshot]
) -> dict[str, tuple[Tags, ...]]:
    """Whose tags decide who may see each snapshot, by its id: all of these.

    Its own; of an automatic one its disk's, for it has none; of a part those of the whole, or, if
    that is automatic, its instance's and its disk's.
    """
    named = {one.part_of for one in snapshots if one.part_of is not None}
    wholes = {one.id: one for one in transaction.instance_snapshots.among(named)}
    used = {one.disk_id for one in snapshots if one.auto is not None or one.part_of in wholes}
    disks = {one.id: one.tags for one in transaction.disks.among(used)}
    of = {one.instance_id for one in wholes.values() if one.auto is not None}
    instances = {one.id: one.tags for one in transaction.instances.among(of)}
    found: dict[str, tuple[Tags, ...]] = {}
    for one in snapshots:
        whole = None if one.part_of is None else wholes.get(one.part_of)
        if whole is not None and whole.auto is None:
            found[one.id] = (whole.tags,)
        elif whole is not None:
            origin = disks.get(one.disk_id, one.tags)
            found[one.id] = (instances.get(whole.instance_id, {}), origin)
        elif one.auto is not None:
            found[one.id] = (disks.get(one.disk_id, one.tags),)
        else:
            found[one.id] = (one.tags,)
    return found
