"""Retention of automatic snapshots: what is deleted once the next one is stored.

Of rhythms of seconds once a minute: then many go together, with one job and few syncs.
"""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.jobs.automatic import outcomes
from mooring.model.automatic import rules
from mooring.model.automatic.leaps import Leap
from mooring.model.automatic.rhythm import MINUTE_MS, offset_of, parse_rhythms, superfluous
from mooring.model.automatic.rules import AutoRun, AutoSource
from mooring.model.resources.instance_snapshot import Snapshot
from mooring.model.resources.snapshot import DiskSnapshot, Lost
from mooring.taking import recording

_LOOKED_AT = 4
"""The newest ones among which that of the same minute is looked for."""


def expire(backend: Backend, transaction: Transaction, stored: Snapshot) -> None:
    """Delete what its disk or instance no longer keeps, now that this one is stored.

    What was taken by the add-on and what by rhythms do not count together. Nothing is deleted
    once the add-on, or the rhythms, are no more. Of several stored in the same minute only the
    first has this done.
    """
    runs = transaction.auto_runs.of(stored.resource_id)
    run = next((one for one in runs if _is_add_on(one.source) == _is_add_on(stored.auto)), None)
    if run is None:
        return
    now = backend.clock.now_ms()
    outcomes.stored(transaction, run, stored, now)
    if _has_minute(transaction, stored):
        return
    of_group = [
        one
        for one in transaction.automatic_of(stored.resource_id)
        if _is_add_on(one.auto) == _is_add_on(stored.auto)
    ]
    completed = [one for one in of_group if one.is_stored]
    missing = [one for one in of_group if _is_missing(one)]
    # What is known of one that failed is kept beside.
    gone = [
        one
        for one in of_group
        if not (one.is_stored or one.is_pending or _is_missing(one))
        and one.created_ms < stored.created_ms
    ]
    before = [one.created_ms for one in completed if one.created_ms < stored.created_ms]
    leap = backend.leaps.doubted(
        run, max(before, default=None), stored.created_ms, backend.clock.monotonic()
    )
    gone += _expired(run, completed, now, leap)
    if missing:
        # They take nobody's place, and go when they would have gone.
        due = {one.id for one in _expired(run, [*completed, *missing], now, leap)}
        gone += [one for one in missing if one.id in due]
    recording.discard_automatic(transaction, gone, backend.ids, now)


def _expired(
    run: AutoRun, taken: Sequence[Snapshot], now_ms: int, leap: Leap | None
) -> list[Snapshot]:
    """Which of these are not kept any more; for those from before a leap that was no time."""
    if run.source is AutoSource.ADD_ON:
        return sorted(taken, key=lambda one: one.created_ms)[: -rules.KEPT]
    rhythms = parse_rhythms(run.policy)
    offset = offset_of(run.resource_id, rhythms)
    moments = {one.created_ms for one in taken}
    old = set() if leap is None else {one for one in moments if one < leap.first_ms}
    expired = superfluous(rhythms, moments - old, now_ms, offset)
    if leap is not None:
        expired |= superfluous(rhythms, old, leap.without(now_ms), offset)
    return [one for one in taken if one.created_ms in expired]


def _is_missing(one: Snapshot) -> bool:
    """Whether its root, or that of a part, was lost, and may come back: nobody has let it go."""
    return any(part.lost is Lost.MISSING for part in one.members)


def expire_after(backend: Backend, transaction: Transaction, one: DiskSnapshot) -> None:
    """Delete what is no longer kept, if an automatic snapshot is stored now that this one is.

    It may be the last part of one of an instance.
    """
    if one.auto is None and one.part_of is None:
        return
    whole = transaction.snapshot(one.part_of or one.id)
    if whole is not None and whole.auto is not None and whole.is_stored:
        expire(backend, transaction, whole)


def _has_minute(transaction: Transaction, stored: Snapshot) -> bool:
    """Whether another one of its group was taken in the same minute before it."""
    if isinstance(stored, DiskSnapshot):
        newest = transaction.snapshots.newest_stored(stored.disk_id, _LOOKED_AT)
    else:
        newest = transaction.instance_snapshots.newest(stored.instance_id, _LOOKED_AT)
    minute = stored.created_ms // MINUTE_MS
    return any(
        _is_add_on(source) == _is_add_on(stored.auto)
        and moment // MINUTE_MS == minute
        and moment < stored.created_ms
        for moment, source in newest
    )


def _is_add_on(source: str | None) -> bool:
    return source == AutoSource.ADD_ON
