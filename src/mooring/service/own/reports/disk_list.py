"""A question about disks: a page of them, and how each is protected."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import InvalidInputException
from mooring.model.names import shown
from mooring.model.resources.disk import Attachment, Disk
from mooring.service.answers import pages
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer
from mooring.service.own.reports.protection import Protected, Protection, Protections

SIZE = 50
"""Disks of one page."""

CHANGES = 24
"""Snapshots of each disk whose changes are told."""

_AT_ONCE = 500
"""Disks looked at in one go when few of them fit."""

_STATES = {
    "late": (Protection.LATE,),
    "none": (Protection.NONE,),
    "protected": (Protection.WELL, Protection.WAITING),
}


def disk_list(backend: Backend, context: Context, params: Params) -> Answer:
    """Disks whose names contain `text`, by the page that `pageToken` names.

    `show` chooses those that are `late`, `none`, of which nothing is taken by itself, or
    `protected`.
    Each is told with its protection, and what changed before each of its newest snapshots: bytes,
    oldest first.
    """
    show = str(params.get("show") or "")
    if show and show not in _STATES:
        raise InvalidInputException(f"show must be one of {', '.join(_STATES)}, not {shown(show)}.")
    text, now = str(params.get("text") or "").strip(), backend.clock.now_ms()
    after = pages.read_number(params.get("pageToken")) or 0
    with backend.catalog.read() as transaction:
        few = not show and not context.access.tags
        # Of a page alone, unless it is chosen by that.
        states = None if not show else Protections(transaction, context.region, now)
        found: list[tuple[Disk, Protected]] = []
        more: int | None = after
        while more is not None and len(found) < SIZE:
            seen, goes_on = transaction.disks.search(
                context.region, text, more, SIZE if few else _AT_ONCE
            )
            mine = [one for one in seen if context.access.reaches(one.tags)]
            of = states or Protections(transaction, context.region, now, mine)
            fitting = [(one, of.of(one)) for one in mine]
            fitting = [one for one in fitting if not show or one[1].state in _STATES[show]]
            room = SIZE - len(found)
            found += fitting[:room]
            more = goes_on
            if len(fitting) > room:
                # The page is full in the middle of what was looked at.
                more = transaction.disks.place(found[-1][0].id)
        total = transaction.disks.count(context.region)
        told = [_told(backend, transaction, disk, state) for disk, state in found]
    return {
        "disks": told,
        "nextPageToken": pages.token(more),
        "total": None if context.access.tags else total,
    }


def _told(backend: Backend, transaction: Transaction, disk: Disk, state: Protected) -> Answer:
    changes = transaction.snapshots.newest_changes(disk.id, CHANGES)
    newest = changes[0][0] if changes else None
    return {
        "diskName": disk.name,
        "zone": disk.zone,
        "state": disk.state if backend.is_served(disk) else "unknown",
        "sizeInGb": disk.size_gb,
        "instanceName": disk.instance_name,
        "attached": disk.attachment is Attachment.ATTACHED,
        "createdAt": disk.created_ms / 1000,
        "tags": [{"key": key, "value": value} for key, value in disk.tags.items()],
        "newestAt": None if newest is None else newest / 1000,
        "changes": _changes(changes),
        **protection(state, backend.clock.now_ms()),
    }


def protection(state: Protected, now_ms: int) -> Answer:
    """What is told of how a disk is protected."""
    health = state.health
    newest = None if health is None else health.newest_ms
    return {
        "protection": state.state,
        "protectionText": "" if health is None else health.sentence(now_ms),
        "newestAutomaticAt": None if newest is None else newest / 1000,
        "dueAt": None if health is None else health.due_ms / 1000,
        "periodSeconds": None if health is None else health.period_ms / 1000,
    }


def _changes(changes: Sequence[tuple[int, int | None]]) -> list[int]:
    return [changed or 0 for _, changed in reversed(changes)]
