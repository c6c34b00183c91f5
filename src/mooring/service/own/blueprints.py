"""Blueprints of our users: made from snapshots, and deleted."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import NotFoundException, OperationFailureException
from mooring.model.names import check_name, name_taken
from mooring.model.operation import ResourceType
from mooring.model.resources.consistency import read_given_tags
from mooring.model.resources.own_blueprint import Platform, check_blueprint_id, read_platform
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.service.answers import operations
from mooring.service.call import Call, Params
from mooring.service.context import Context
from mooring.service.own.own_request import Answer, member
from mooring.service.snapshots.checks import check_frozen
from mooring.service.snapshots.copies import blueprint_of
from mooring.service.snapshots.named_snapshots import named_snapshot
from mooring.taking import recording

CREATE, DELETE = "CreateBlueprint", "DeleteBlueprint"
"""The types of the operations in the lists of operations."""


def create_blueprint(backend: Backend, context: Context, params: Params) -> Answer:
    """Make the blueprint `blueprintId` for `platform` of the stored snapshot `diskSnapshotName`.

    It is a snapshot of its own, with `tags`, which shares what both hold; the answer is its
    operation. `platform` is linux, which is the default, or windows.
    """
    call = Call(context, CREATE, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    blueprint_id = check_blueprint_id(member(params, "blueprintId"))
    platform = read_platform(params.get("platform") or Platform.LINUX)
    tags = read_given_tags(ResourceType.DISK_SNAPSHOT, params.get("tags") or [])
    with backend.catalog.write() as transaction:
        name = member(params, "diskSnapshotName")
        source = named_snapshot(transaction, call.region, name, backend.clock.now_ms())
        if not source.is_stored:
            raise OperationFailureException(
                f"You can't make a blueprint of the snapshot {source.name} right now. "
                f"The state of this snapshot is: {source.state}"
            )
        if taken := transaction.names.taken(call.region, [blueprint_id]):
            raise name_taken(taken)
        begun = blueprint_of(backend, transaction, call, source, blueprint_id, platform, tags)
        return operations.reply(backend, transaction, call, begun)


def delete_blueprint(backend: Backend, context: Context, params: Params) -> Answer:
    """Delete the blueprint `blueprintId`, with its snapshot. Instances made from it stay.

    Refused while disks are being filled from it, or it is being copied.
    """
    call = Call(context, DELETE, dict(params))
    if (known := call.recall(backend)) is not None:
        return known
    blueprint_id = member(params, "blueprintId")
    with backend.catalog.write() as transaction:
        found = _find_blueprint(transaction, call.region, blueprint_id)
        check_frozen(found)
        if transaction.jobs.is_read(found.id):
            raise OperationFailureException(
                f"The blueprint {blueprint_id} is needed: disks are being filled from it, or it is "
                "being copied. Please try again in a few minutes."
            )
        recording.discard(transaction, found, backend.ids, backend.clock.now_ms())
        ended = [operations.begin(backend, call, found, ended=True)]
        return operations.reply(backend, transaction, call, ended)


def _find_blueprint(transaction: Transaction, region: str, blueprint_id: str) -> DiskSnapshot:
    """The snapshot that is the blueprint. Raises NotFoundException, InvalidInputException."""
    found = transaction.snapshots.by_name(region, check_name(blueprint_id))
    if found is None:
        raise NotFoundException(
            f"You have no blueprint {blueprint_id} of your own, and no other can be deleted."
        )
    if found.blueprint is None:
        raise NotFoundException(
            f"The blueprint does not exist: {blueprint_id}. A snapshot has this name: "
            "delete-disk-snapshot deletes it."
        )
    return found
