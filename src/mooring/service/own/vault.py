"""Questions about the vault: what changed in a snapshot, and what snapshots take."""

from __future__ import annotations

import itertools
from typing import Any

from mooring.backend.backend import Backend
from mooring.model.errors import (
    InvalidInputException,
    OperationFailureException,
    VaultError,
)
from mooring.model.extents import BLOCK_SIZE
from mooring.model.resources.snapshot import DiskSnapshot, SnapshotState
from mooring.model.sizes import size_in_bytes
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.overview.owners import owners
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.named_snapshots import named_snapshot

DIFF_PAGE = 10_000
"""Ranges in one answer: about half a MiB of JSON."""

USAGE_PAGE = 2000
"""Snapshots in one answer: about as much."""


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


def usage(backend: Backend, context: Context, params: Params) -> Answer:
    """What completed snapshots of the region take in the vault, in bytes; from `pageToken` on."""
    token = params.get("pageToken")
    start = pages.read_number(token) or 0
    try:
        report = backend.vaults[context.region].usage(continued=token is not None)
    except VaultError as error:
        raise OperationFailureException(
            f"The usage cannot be told: {error}. `mooringd verify` lists the damage."
        ) from error
    some = report[start : start + USAGE_PAGE]
    with backend.catalog.read() as transaction:
        found = transaction.snapshots.among([one.snapshot_id for one in some])
        snapshots = {
            one.id: one
            for one in found
            if one.region == context.region and one.state is SnapshotState.COMPLETED
        }
        owned_by = owners(transaction, snapshots.values()) if snapshots else {}
    rows: list[dict[str, Any]] = []
    for one in some:
        known = snapshots.get(one.snapshot_id)
        if known is None or not all(map(context.access.reaches, owned_by[known.id])):
            continue
        tags = owned_by[known.id][0]
        rows.append(
            {
                "diskSnapshotName": known.name,
                "diskName": known.disk_name,
                "createdAt": known.created_ms / 1000,
                "sizeInBytes": size_in_bytes(known.size_gb),
                "aloneBytes": one.unique_bytes,
                "sharedBytes": one.shared_bytes,
                "fullCopyBytes": one.logical_bytes,
                "tags": [{"key": key, "value": tags[key]} for key in tags],
            }
        )
    rows.sort(key=lambda row: (row["diskName"], row["createdAt"]))
    more = start + USAGE_PAGE < len(report)
    return {
        "snapshots": rows,
        "nextPageToken": pages.token(start + USAGE_PAGE) if more else None,
    }
