"""Questions about the vault: what changed in a snapshot, and what snapshots take."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.database import Transaction
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.sizes import size_in_bytes
from mooring.model.tags import Tags
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.named_snapshots import named_snapshot

DIFF_PAGE = 10_000
"""Ranges in one answer: about half a MiB of JSON."""


def diff(backend: Backend, context: Context, params: Params) -> Answer:
    """What changed in the snapshot `diskSnapshotName` since `fromDiskSnapshotName`, in bytes.

    Without the latter, all that the snapshot holds. The ranges come in pages, from the byte
    `startOffset` on; `nextOffset` is where the next page begins, null on the last one.
    """
    start = _offset(params.get("startOffset", 0))
    names = {"to": member(params, "diskSnapshotName"), "from": params.get("fromDiskSnapshotName")}
    found: dict[str, DiskSnapshot] = {}
    now = backend.clock.now_ms()
    with backend.catalog.read() as transaction:
        for which, name in names.items():
            if name:
                found[which] = named_snapshot(transaction, context.region, str(name), now)
    for one in found.values():
        if one.state is not SnapshotState.COMPLETED:
            raise OperationFailureException(
                f"The snapshot {one.name} cannot be compared right now. "
                f"The state of this snapshot is: {one.state}"
            )
    old, new = found.get("from"), found["to"]
    try:
        ranges = backend.vaults[context.region].diff(old.id if old else None, new.id, start)
        page = list(itertools.islice(ranges, DIFF_PAGE + 1))
    except VaultError as error:
        raise OperationFailureException(f"The snapshots cannot be compared: {error}.") from error
    more = page[DIFF_PAGE:]
    return {
        "from": None if old is None else old.name,
        "to": new.name,
        "sizeInBytes": size_in_bytes(new.size_gb),
        "extents": [
            {"offset": one.offset, "length": one.length, "zero": one.zero}
            for one in page[:DIFF_PAGE]
        ],
        "nextOffset": more[0].offset if more else None,
    }


def _offset(value: object) -> int:
    try:
        offset = int(str(value))
    except ValueError:
        offset = -1
    if offset < 0 or offset % BLOCK_SIZE:
        raise InvalidInputException(
            f"startOffset must be a multiple of {BLOCK_SIZE}, not {str(value)[:40]}."
        )
    return offset


def usage(backend: Backend, context: Context, _params: Params) -> Answer:
    """What each completed snapshot of the region takes in the vault, in bytes."""
    with backend.catalog.read() as transaction:
        completed = transaction.snapshots.completed_of_region(context.region)
        snapshots = {one.id: one for one in completed}
        owners = _owners(transaction, snapshots.values()) if snapshots else {}
    try:
        report = backend.vaults[context.region].usage()
    except VaultError as error:
        raise OperationFailureException(
            f"The usage cannot be told: {error}. `mooringd verify` lists the damage."
        ) from error
    rows: list[dict[str, Any]] = []
    for one in report:
        found = snapshots.get(one.snapshot_id)
        if found is not None and all(map(context.access.reaches, owners[found.id])):
            tags = owners[found.id][0]
            rows.append(
                {
                    "diskSnapshotName": found.name,
                    "diskName": found.disk_name,
                    "createdAt": found.created_ms / 1000,
                    "sizeInBytes": size_in_bytes(found.size_gb),
                    "aloneBytes": one.unique_bytes,
                    "sharedBytes": one.shared_bytes,
                    "fullCopyBytes": one.logical_bytes,
                    "tags": [{"key": key, "value": tags[key]} for key in tags],
                }
            )
    rows.sort(key=lambda row: (row["diskName"], row["createdAt"]))
    return {"snapshots": rows}


def _owners(
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
