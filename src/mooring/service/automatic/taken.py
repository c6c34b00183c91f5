"""Automatic snapshots that exist: showing, finding, deleting them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.automatic import rules
from mooring.model.automatic.health import AutoFailure
from mooring.model.automatic.moment import check_date
from mooring.model.automatic.rules import AutoSource
from mooring.model.counts import counted
from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations
from mooring.service.answers.views import View
from mooring.service.call import Call, Params, Result
from mooring.service.finding import find_bearer
from mooring.taking import recording

Taken = TypeVar("Taken", bound=Snapshot)


def get_auto_snapshots(backend: Backend, call: Call) -> Result:
    """GetAutoSnapshots: newest first."""
    with backend.catalog.read() as transaction:
        resource = find_bearer(transaction, call.region, call.params["resourceName"])
        found = transaction.automatic_of(resource.id)
        sources = [run.source for run in transaction.auto_runs.of(resource.id)]
        failures = transaction.auto_failures.of(resource.id, *sources)
    failures = [one for one in failures if not _is_shown(one, found)]
    date_of = _Dates(found, failures)
    views = [_view(one, date_of) for one in found]
    views += [_view_of_failure(one, date_of) for one in failures]
    views.sort(key=lambda view: view["createdAt"], reverse=True)
    return {
        "resourceName": resource.name,
        "resourceType": operations.type_of(resource),
        "autoSnapshots": views,
    }


def delete_auto_snapshot(backend: Backend, call: Call) -> Result:
    """DeleteAutoSnapshot: named by its date, or more of its moment where a day has several."""
    date = check_date(call.params["date"])
    with backend.catalog.write() as transaction:
        resource = find_bearer(transaction, call.region, call.params["resourceName"])
        taken = transaction.automatic_of(resource.id)
        found = [one for one in taken if _is_of(one, date)]
        failures = [
            one
            for one in transaction.auto_failures.of(resource.id, *AutoSource)
            if rules.stamp(one.first_ms).startswith(date)
        ]
        if not found and not failures:
            raise _none_of(resource.name, date)
        date_of = _Dates(taken, failures)
        found = [one for one in found if date_of(one.auto, one.created_ms) == date] or found
        if len(found) > 1:
            raise InvalidInputException(
                f"{counted(len(found), 'automatic snapshot')} of {resource.name} are from {date}. "
                "Give more of the moment: the newest is "
                f"{date_of(found[-1].auto, found[-1].created_ms)}."
            )
        for snapshot in found:
            if not snapshot.frozen:
                raise OperationFailureException(
                    f"The automatic snapshot of {resource.name} is being taken right now. Please "
                    "try again in a few minutes."
                )
            recording.discard(transaction, snapshot, backend.ids, backend.clock.now_ms())
        for failure in failures:
            transaction.auto_failures.forget(resource.id, failure.source, failure.piece_ms)
        ended = operations.begin(
            backend, call, resource, details=f"DeleteAutoSnapshot-{date}", ended=True
        )
        ended = replace(ended, zone=resource.region)
        return operations.reply(backend, transaction, call, [ended])


def find_auto_snapshot(
    transaction: Transaction, region: str, name: str, params: Params
) -> Snapshot:
    """The automatic snapshot of the disk or instance of that name that `restoreDate` or
    `useLatestRestorableAutoSnapshot` chooses; all of it is stored.

    Raises InvalidInputException, NotFoundException.
    """
    resource = find_bearer(transaction, region, name)
    return _chosen(transaction.automatic_of(resource.id), name, params)


def find_auto_snapshot_of_disk(
    transaction: Transaction, region: str, name: str, params: Params
) -> DiskSnapshot:
    """The same, of a disk only."""
    resource = find_bearer(transaction, region, name)
    if not isinstance(resource, Disk):
        raise InvalidInputException(
            f"{name} is not a disk but an instance: create-instances-from-snapshot makes "
            "instances with all their disks."
        )
    return _chosen(transaction.snapshots.auto_of_disk(resource.id), name, params)


def find_auto_snapshot_of_instance(
    transaction: Transaction, region: str, name: str, params: Params
) -> InstanceSnapshot:
    """The same, of an instance only."""
    resource = find_bearer(transaction, region, name)
    if not isinstance(resource, Instance):
        raise InvalidInputException(
            f"{name} is not an instance but a disk: create-disk-from-snapshot makes disks."
        )
    return _chosen(transaction.instance_snapshots.auto_of_instance(resource.id), name, params)


def _chosen(taken: Sequence[Taken], name: str, params: Params) -> Taken:
    date, latest = params.get("restoreDate"), params.get("useLatestRestorableAutoSnapshot")
    if bool(date) == bool(latest):
        raise InvalidInputException(
            "Give either restoreDate or useLatestRestorableAutoSnapshot, "
            f"to choose an automatic snapshot of {name}."
        )
    wanted = check_date(date) if date else None
    found = [one for one in taken if one.is_stored and (wanted is None or _is_of(one, wanted))]
    if not found:
        raise _none_of(name, wanted)
    return found[-1]


def refuse_choice(params: Params, source: str, named: str) -> None:
    """Raise InvalidInputException if a request that names its snapshot chooses another one, too.

    `source` and `named` are the members that name the resource of automatic snapshots, and the
    snapshot.
    """
    if params.get("restoreDate") or params.get("useLatestRestorableAutoSnapshot"):
        raise InvalidInputException(
            "restoreDate and useLatestRestorableAutoSnapshot choose an automatic snapshot of "
            f"{source}: omit them with {named}."
        )


def check_none_pending(resource: Disk | Instance, taken: Iterable[Snapshot]) -> None:
    """No manual snapshot while one of the add-on is being created: the real service's rule.

    `taken` has all snapshots of the resource that are pending and automatic; others do not matter.
    """
    for one in taken:
        if one.is_pending and one.auto is AutoSource.ADD_ON:
            raise InvalidInputException(
                f"An automatic snapshot of the {operations.type_of(resource).lower()} "
                f"{resource.name} is being created. "
                "Please wait for it to complete before trying again."
            )


class _Dates:
    """What names automatic snapshots of one resource, and failures: a day of the add-on's, else as
    much of the moment as tells it from all others."""

    def __init__(self, taken: Iterable[Snapshot], failures: Iterable[AutoFailure]) -> None:
        moments = {one.created_ms for one in taken if one.auto is not AutoSource.ADD_ON}
        moments |= {one.first_ms for one in failures if one.source is not AutoSource.ADD_ON}
        self._spelled = rules.dates(moments)

    def __call__(self, source: AutoSource | None, time_ms: int) -> str:
        return rules.day(time_ms) if source is AutoSource.ADD_ON else self._spelled[time_ms]


def _view(snapshot: Snapshot, date_of: _Dates) -> View:
    status = "InProgress" if snapshot.is_pending else "Success" if snapshot.is_stored else "Failed"
    parts = snapshot.parts if isinstance(snapshot, InstanceSnapshot) else ()
    return {
        "date": date_of(snapshot.auto, snapshot.created_ms),
        "createdAt": snapshot.created_ms,
        "status": status,
        "fromAttachedDisks": [{"path": part.disk_path, "sizeInGb": part.size_gb} for part in parts],
    }


def _view_of_failure(failure: AutoFailure, date_of: _Dates) -> View:
    return {
        "date": date_of(failure.source, failure.first_ms),
        "createdAt": failure.first_ms,
        "status": "Failed",
        "fromAttachedDisks": [],
    }


def _is_shown(failure: AutoFailure, taken: Iterable[Snapshot]) -> bool:
    """Whether a snapshot that could not be stored, or is tried again, stands for the failure."""
    return any(
        one.auto is failure.source
        and (
            failure.first_ms <= one.created_ms <= failure.last_ms
            or (
                one.auto is AutoSource.ADD_ON
                and rules.day(one.created_ms) == rules.day(failure.first_ms)
            )
        )
        for one in taken
    )


def _is_of(snapshot: Snapshot, moment: str) -> bool:
    return rules.stamp(snapshot.created_ms).startswith(moment)


def _none_of(name: str, moment: str | None) -> NotFoundException:
    of = f" of {moment}" if moment else ""
    return NotFoundException(
        f"The automatic snapshot does not exist: {name}{of}. get-auto-snapshots lists the existing "
        "ones."
    )
