"""Automatic snapshots: the add-on, what it has taken, and the rhythms of a disk's tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mooring.catalog.database import Transaction
from mooring.model import auto_snapshot
from mooring.model.auto_snapshot import AutoSource
from mooring.model.disk import Disk
from mooring.model.errors import (
    InvalidInputException,
    NotFoundException,
    OperationFailureException,
)
from mooring.model.instance import Instance
from mooring.model.names import check_name, shown
from mooring.model.operation import ResourceType
from mooring.model.rhythm import NO_RHYTHMS, RHYTHMS_TAG, tagged
from mooring.model.snapshot import DiskSnapshot, SnapshotState
from mooring.model.snapshot_jobs import deletion
from mooring.model.tags import Tags
from mooring.service import operations
from mooring.service.backend import Backend, Call, Params, Result

ADD_ON = "AutoSnapshot"

_STATUS = {
    SnapshotState.PENDING: "InProgress",
    SnapshotState.COMPLETED: "Success",
    SnapshotState.ERROR: "Failed",
}


def enable_add_on(backend: Backend, call: Call) -> Result:
    """EnableAddOn: a snapshot of the disk every day; also changes the time of day."""
    time = read_add_on(call.params["addOnRequest"], call.region)
    with backend.catalog.write() as transaction:
        disk = _disk(transaction, call)
        known = transaction.auto_runs.find(disk.id, AutoSource.ADD_ON)
        if known is not None and known.policy == time:
            raise InvalidInputException("The addOn is already in requested state")
        switch_on(backend, transaction, disk, time)
        return _done(backend, transaction, call, disk)


def disable_add_on(backend: Backend, call: Call) -> Result:
    """DisableAddOn: what was taken is kept until it is deleted, or the disk is."""
    _check_type(call.params["addOnType"])
    with backend.catalog.write() as transaction:
        disk = _disk(transaction, call)
        if transaction.auto_runs.find(disk.id, AutoSource.ADD_ON) is None:
            raise InvalidInputException(f"{ADD_ON} not enabled for the resource")
        transaction.auto_runs.remove(disk.id, AutoSource.ADD_ON)
        return _done(backend, transaction, call, disk)


def get_auto_snapshots(backend: Backend, call: Call) -> Result:
    """GetAutoSnapshots: newest first."""
    with backend.catalog.read() as transaction:
        resource = _resource(transaction, call)
        found = transaction.snapshots.auto_of_disk(resource.id)
    return {
        "resourceName": resource.name,
        "resourceType": operations.type_of(resource),
        "autoSnapshots": [
            {
                "date": date_of(snapshot),
                "createdAt": snapshot.created_ms,
                "status": _STATUS[snapshot.state],
                "fromAttachedDisks": [],
            }
            for snapshot in reversed(found)
        ],
    }


def delete_auto_snapshot(backend: Backend, call: Call) -> Result:
    """DeleteAutoSnapshot: named by its date; by the minute, where a day has several."""
    date = auto_snapshot.check_moment(call.params["date"])
    with backend.catalog.write() as transaction:
        resource = _resource(transaction, call)
        taken = transaction.snapshots.auto_of_disk(resource.id)
        found = [one for one in taken if _is_of(one, date)]
        if not found:
            raise _none_of(resource.name, date)
        exact = [one for one in found if date_of(one) == date]
        found = exact or found
        if len(found) > 1:
            raise InvalidInputException(
                f"{len(found)} automatic snapshots of {resource.name} are of {date}. Give the "
                f"minute, too: the newest is {auto_snapshot.minute(found[-1].created_ms)}."
            )
        (snapshot,) = found
        if not snapshot.frozen:
            raise OperationFailureException(
                f"The automatic snapshot of {resource.name} is being taken this moment. "
                "Please try again in a few minutes."
            )
        discard(backend, transaction, snapshot)
        ended = operations.begin(
            backend, call, resource, details=f"DeleteAutoSnapshot-{date}", ended=True
        )
        ended = replace(ended, zone=resource.region)
        return operations.reply(backend, transaction, call, [ended])


def find_auto_snapshot(
    transaction: Transaction, region: str, disk_name: str, params: Params
) -> DiskSnapshot:
    """The completed automatic snapshot that `restoreDate` or
    `useLatestRestorableAutoSnapshot` chooses, of the disk of that name.

    Raises InvalidInputException, NotFoundException.
    """
    date, latest = params.get("restoreDate"), params.get("useLatestRestorableAutoSnapshot")
    if bool(date) == bool(latest):
        raise InvalidInputException(
            "Give either restoreDate or useLatestRestorableAutoSnapshot, "
            f"to choose an automatic snapshot of {shown(disk_name)}."
        )
    disk = transaction.disks.by_name(region, check_name(disk_name))
    if disk is None:
        raise NotFoundException(f"The Disk does not exist: {disk_name}")
    wanted = auto_snapshot.check_moment(date) if date else None
    found = [
        one
        for one in transaction.snapshots.auto_of_disk(disk.id)
        if one.state is SnapshotState.COMPLETED and (wanted is None or _is_of(one, wanted))
    ]
    if not found:
        raise _none_of(disk_name, wanted)
    return found[-1]


def read_add_ons(params: Params, region: str) -> str | None:
    """The time of day that `addOns` asks for, None if it asks for none."""
    add_ons: list[dict[str, Any]] = params.get("addOns") or []
    times = [read_add_on(add_on, region) for add_on in add_ons]
    if len(times) > 1:
        raise InvalidInputException(f"addOns names the add-on {ADD_ON} {len(times)} times.")
    return times[0] if times else None


def refuse_on_instances(params: Params, region: str) -> None:
    """Say that instances have no add-ons, where a request for new ones asks for some."""
    if read_add_ons(params, region):
        raise _no_instances(shown(str(params["instanceNames"][0])))


def read_add_on(request: Mapping[str, Any], region: str) -> str:
    """The time of day that a request for the add-on asks for, or the region's."""
    _check_type(request["addOnType"])
    wanted = request.get("autoSnapshotAddOnRequest") or {}
    return auto_snapshot.time_of_day(wanted.get("snapshotTimeOfDay"), region)


def switch_on(backend: Backend, transaction: Transaction, disk: Disk, time: str) -> None:
    """Let the disk have an automatic snapshot every day at that time."""
    now = backend.clock.now_ms()
    transaction.auto_runs.put(auto_snapshot.add_on_run(disk.id, disk.region, time, now))


def follow_tags(backend: Backend, transaction: Transaction, disk: Disk, tags: Tags) -> None:
    """Let the disk have the rhythms that its tags say. Raises InvalidInputException."""
    policy = tagged(tags)
    known = transaction.auto_runs.find(disk.id, AutoSource.TAG)
    if known is not None and known.policy == policy:
        return
    transaction.auto_runs.remove(disk.id, AutoSource.TAG)
    if policy is None:
        return
    transaction.auto_runs.remove(disk.id, AutoSource.CONFIG)
    if policy == NO_RHYTHMS:
        return
    now = backend.clock.now_ms()
    run = auto_snapshot.rhythm_run(disk.id, disk.region, AutoSource.TAG, policy, now)
    transaction.auto_runs.put(run)


def switch_off_all(backend: Backend, transaction: Transaction, call: Call, disk: Disk) -> None:
    """Delete the disk's automatic snapshots with it.

    Raises OperationFailureException if it has more to come and the call does not insist.
    """
    runs = transaction.auto_runs.of(disk.id)
    if not call.params.get("forceDeleteAddOns"):
        for run in runs:
            if run.source is AutoSource.ADD_ON:
                raise OperationFailureException(
                    f"The add-on {ADD_ON} is enabled for the disk {disk.name}, and its automatic "
                    "snapshots are deleted with it. Disable the add-on, or use forceDeleteAddOns."
                )
            if run.source is AutoSource.TAG:
                raise OperationFailureException(
                    f"The disk {disk.name} has the tag {RHYTHMS_TAG}, and its automatic snapshots "
                    "are deleted with it. Remove the tag, or use forceDeleteAddOns."
                )
    transaction.auto_runs.remove(disk.id)
    for snapshot in transaction.snapshots.auto_of_disk(disk.id):
        discard(backend, transaction, snapshot)


def check_none_pending(disk: Disk, pending: Iterable[DiskSnapshot]) -> None:
    """No manual snapshot while one of the add-on is being created: the real service's rule."""
    for one in pending:
        if one.auto is AutoSource.ADD_ON:
            raise InvalidInputException(
                f"An automatic snapshot of the disk {disk.name} is being created. "
                "Please wait for it to complete before trying again."
            )


def discard(backend: Backend, transaction: Transaction, snapshot: DiskSnapshot) -> None:
    """Remove a snapshot from the catalog, and have it removed from the vault."""
    transaction.snapshots.remove(snapshot)
    transaction.jobs.add(deletion(snapshot, backend.ids.new_id(), backend.clock.now_ms()))


def date_of(snapshot: DiskSnapshot) -> str:
    """What names an automatic snapshot: its day, or its minute if there may be more of a day."""
    if snapshot.auto is AutoSource.ADD_ON:
        return auto_snapshot.day(snapshot.created_ms)
    return auto_snapshot.minute(snapshot.created_ms)


def _is_of(snapshot: DiskSnapshot, moment: str) -> bool:
    return auto_snapshot.minute(snapshot.created_ms).startswith(moment)


def _none_of(name: str, moment: str | None) -> NotFoundException:
    of = f" of {moment}" if moment else ""
    return NotFoundException(
        f"The automatic snapshot does not exist: {name}{of}. get-auto-snapshots lists those there."
    )


def _check_type(kind: str) -> None:
    if kind != ADD_ON:
        raise InvalidInputException(
            f"Mooring does not serve the add-on {shown(kind)}: only {ADD_ON}.",
            "UnsupportedOperation",
        )


def _resource(transaction: Transaction, call: Call) -> Disk | Instance:
    name = check_name(call.params["resourceName"])
    found = transaction.names.find(call.region, name)
    resource: Disk | Instance | None = None
    if found is not None and found[0] is ResourceType.DISK:
        resource = transaction.disks.by_id(found[1])
    elif found is not None and found[0] is ResourceType.INSTANCE:
        resource = transaction.instances.by_id(found[1])
    elif found is not None:
        raise InvalidInputException(
            f"Only disks and instances have add-ons; {name} is a {found[0]}."
        )
    if resource is None:
        raise NotFoundException(f"The resource does not exist: {name}")
    return resource


def _disk(transaction: Transaction, call: Call) -> Disk:
    resource = _resource(transaction, call)
    if isinstance(resource, Instance):
        raise _no_instances(resource.name)
    return resource


def _no_instances(name: str) -> InvalidInputException:
    return InvalidInputException(
        f"Mooring takes automatic snapshots of disks only, not of instances: enable {ADD_ON} for "
        f"the disks of {name}.",
        "UnsupportedOperation",
    )


def _done(backend: Backend, transaction: Transaction, call: Call, disk: Disk) -> Result:
    ended = operations.begin(
        backend, call, disk, details=f"{call.operation} - {ADD_ON}", ended=True
    )
    return operations.reply(backend, transaction, call, [ended])
