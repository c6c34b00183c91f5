"""The automatic-snapshot add-on, and a tag's rhythms, for disks and instances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.automatic import rules
from mooring.model.automatic.rhythm import NO_RHYTHMS, RHYTHMS_TAG, tagged
from mooring.model.automatic.rules import AutoSource
from mooring.model.errors import (
    InvalidInputException,
)
from mooring.model.names import shown
from mooring.model.resources.disk import Disk
from mooring.model.resources.instance import Instance
from mooring.model.tags import Tags
from mooring.service.answers import operations
from mooring.service.call import Call, Params, Result
from mooring.service.finding import find_bearer
from mooring.taking import recording

ADD_ON = "AutoSnapshot"


def enable_add_on(backend: Backend, call: Call) -> Result:
    """EnableAddOn: a snapshot every day; also changes the time of day."""
    time = read_add_on(call.params["addOnRequest"], call.region)
    with backend.catalog.write() as transaction:
        resource = find_bearer(transaction, call.region, call.params["resourceName"])
        known = transaction.auto_runs.find(resource.id, AutoSource.ADD_ON)
        if known is not None and known.policy == time:
            raise InvalidInputException("The addOn is already in requested state")
        _switch_on(backend, transaction, resource, time)
        return _done(backend, transaction, call, resource)


def disable_add_on(backend: Backend, call: Call) -> Result:
    """DisableAddOn: what was taken is kept until it is deleted, or the disk or instance is.

    The add-on is shown on as disabled, with its time of day, as clients know it.
    """
    _check_type(call.params["addOnType"])
    with backend.catalog.write() as transaction:
        resource = find_bearer(transaction, call.region, call.params["resourceName"])
        if transaction.auto_runs.find(resource.id, AutoSource.ADD_ON) is None:
            raise InvalidInputException(f"{ADD_ON} not enabled for the resource")
        transaction.auto_runs.disable(resource.id)
        transaction.auto_failures.remove(resource.id, AutoSource.ADD_ON)
        return _done(backend, transaction, call, resource)


def read_add_ons(params: Params, region: str) -> str | None:
    """The time of day that `addOns` asks for, None if it asks for none."""
    add_ons: list[dict[str, Any]] = params.get("addOns") or []
    times = [read_add_on(add_on, region) for add_on in add_ons]
    if len(times) > 1:
        raise InvalidInputException(f"addOns names the add-on {ADD_ON} {len(times)} times.")
    return times[0] if times else None


def read_add_on(request: Mapping[str, Any], region: str) -> str:
    """The time of day that a request for the add-on asks for, or the region's."""
    _check_type(request["addOnType"])
    wanted = request.get("autoSnapshotAddOnRequest") or {}
    return rules.time_of_day(wanted.get("snapshotTimeOfDay"), region)


def begin_with(
    backend: Backend, transaction: Transaction, call: Call, resource: Disk | Instance
) -> None:
    """Let what is made by the call have the add-on that it asks for, and the tags' rhythms.

    Raises InvalidInputException.
    """
    if time := read_add_ons(call.params, resource.region):
        _switch_on(backend, transaction, resource, time)
    follow_tags(backend, transaction, resource, resource.tags)


def follow_tags(
    backend: Backend, transaction: Transaction, resource: Disk | Instance, tags: Tags
) -> None:
    """Let the resource have the rhythms that its tags say. Raises InvalidInputException."""
    policy = tagged(tags)
    # Without a tag it may follow the configuration from now on.
    transaction.auto_runs.stir()
    known = transaction.auto_runs.find(resource.id, AutoSource.TAG)
    if known is not None and known.policy == policy:
        return
    transaction.auto_runs.remove(resource.id, AutoSource.TAG)
    transaction.auto_failures.remove(resource.id, AutoSource.TAG)
    if policy is None:
        return
    transaction.auto_runs.remove(resource.id, AutoSource.CONFIG)
    transaction.auto_failures.remove(resource.id, AutoSource.CONFIG)
    if policy == NO_RHYTHMS:
        return
    now = backend.clock.now_ms()
    run = rules.rhythm_run(resource.id, resource.region, AutoSource.TAG, policy, now)
    transaction.auto_runs.put(run)


def end_with(
    backend: Backend, transaction: Transaction, call: Call, resource: Disk | Instance
) -> None:
    """Delete the automatic snapshots of what the call deletes.

    Raises InvalidInputException if it has more to come and the call does not insist: the real
    service's type and, of the add-on, its words (hashicorp/terraform-provider-aws#20650).
    """
    if not call.params.get("forceDeleteAddOns"):
        _check_none_to_come(transaction, resource)
    transaction.auto_runs.remove(resource.id)
    transaction.auto_failures.remove(resource.id)
    taken, now = transaction.automatic_of(resource.id), backend.clock.now_ms()
    recording.discard_automatic(transaction, taken, backend.ids, now, soon=True)


def _check_none_to_come(transaction: Transaction, resource: Disk | Instance) -> None:
    what = f"{operations.type_of(resource)} {resource.name}"
    for run in transaction.auto_runs.of(resource.id):
        if run.source is AutoSource.ADD_ON:
            raise InvalidInputException(
                f"You cannot delete the {what} with addons. Specify the forceDeleteAddons "
                f"parameter to delete the {operations.type_of(resource)} and its associated addons."
            )
        if run.source is AutoSource.TAG:
            raise InvalidInputException(
                f"You cannot delete the {what} with the tag {RHYTHMS_TAG}: its automatic snapshots "
                "are deleted with it. Remove the tag, or specify the forceDeleteAddOns parameter."
            )


def _switch_on(
    backend: Backend, transaction: Transaction, resource: Disk | Instance, time: str
) -> None:
    now = backend.clock.now_ms()
    transaction.auto_runs.put(rules.add_on_run(resource.id, resource.region, time, now))


def _check_type(kind: str) -> None:
    if kind != ADD_ON:
        raise InvalidInputException(
            f"Mooring does not serve the add-on {shown(kind)}: only {ADD_ON}.",
            "UnsupportedOperation",
        )


def _done(
    backend: Backend, transaction: Transaction, call: Call, resource: Disk | Instance
) -> Result:
    ended = operations.begin(
        backend, call, resource, details=f"{call.operation} - {ADD_ON}", ended=True
    )
    return operations.reply(backend, transaction, call, [ended])
