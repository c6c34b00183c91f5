"""Operations: how requests record them, and how clients ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mooring.backend.backend import Backend, Placed
from mooring.catalog.transaction import Transaction
from mooring.model.errors import NotFoundException
from mooring.model.names import check_name, shown
from mooring.model.operation import ALL_ZONES, Operation, OperationStatus, ResourceType
from mooring.model.resources.disk import Disk
from mooring.model.resources.export_record import ExportRecord
from mooring.model.resources.instance import Instance
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.resources.job import HELD_MS, Job
from mooring.model.resources.job_arguments import Arguments
from mooring.model.resources.job_kind import AT_SERVER
from mooring.model.resources.key_pair import KeyPair
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.model.resources.static_ip import StaticIp
from mooring.service.answers import pages
from mooring.service.answers.views import operation_view
from mooring.service.call import Call, Result

Resource = Disk | DiskSnapshot | ExportRecord | Instance | InstanceSnapshot | StaticIp | KeyPair

OF_DISK, OF_INSTANCE = "CreateDiskSnapshot", "CreateInstanceSnapshot"
"""The types of the operations of snapshots."""


def begin(
    backend: Backend,
    call: Call,
    resource: Resource,
    *,
    details: str | None = None,
    kind: str | None = None,
    ended: bool = False,
) -> Operation:
    """A new operation on the resource; of the call's own type, unless `kind` says another."""
    now = backend.clock.now_ms()
    return Operation(
        id=backend.ids.new_id(),
        region=resource.region,
        zone=resource.zone if isinstance(resource, Disk | Instance) else ALL_ZONES,
        resource_id=resource.id,
        resource_name=resource.name,
        resource_type=type_of(resource),
        type=kind or call.operation,
        details=details,
        status=OperationStatus.SUCCEEDED if ended else OperationStatus.STARTED,
        created_ms=now,
        changed_ms=now,
    )


def taken(
    backend: Backend, call: Call, snapshot: DiskSnapshot | InstanceSnapshot, of: Disk | Instance
) -> list[Operation]:
    """Those of a snapshot and of what it is taken of, which wait until it is stored.

    They are of one type, whatever else the call does besides.
    """
    kind = OF_DISK if isinstance(snapshot, DiskSnapshot) else OF_INSTANCE
    pairs: Sequence[tuple[Resource, Resource]] = ((snapshot, of), (of, snapshot))
    begun = [begin(backend, call, one, details=other.name, kind=kind) for one, other in pairs]
    return waiting(begun, snapshot.id)


def type_of(resource: Resource) -> ResourceType:
    """The API's name for what the value is."""
    if isinstance(resource, Disk):
        return ResourceType.DISK
    if isinstance(resource, DiskSnapshot):
        return ResourceType.DISK_SNAPSHOT
    if isinstance(resource, ExportRecord):
        return ResourceType.EXPORT_SNAPSHOT_RECORD
    if isinstance(resource, InstanceSnapshot):
        return ResourceType.INSTANCE_SNAPSHOT
    if isinstance(resource, StaticIp):
        return ResourceType.STATIC_IP
    if isinstance(resource, KeyPair):
        return ResourceType.KEY_PAIR
    return ResourceType.INSTANCE


def enqueue(
    backend: Backend,
    transaction: Transaction,
    arguments: Arguments,
    key: str,
    region: str,
    operations: Sequence[Operation] = (),
    *,
    at: Placed | None = None,
    job_id: str | None = None,
    group: str | None = None,
    held: bool = False,
) -> list[Operation]:
    """Record a job, and give back the operations with it; those ended already stay as they are.

    It is run `at` the host of a disk or an instance, if it needs one. With a `group` the
    operations wait for all jobs of that group. A job that is `held` does not run before
    `Jobs.confirm`, nor do those after it in its line.
    """
    server = "" if at is None else at.host
    job = Job(
        id=job_id or backend.ids.new_id(),
        key=key,
        region=region,
        zone="" if at is None else at.zone,
        server=backend.this_server.id if arguments.kind in AT_SERVER else server,
        created_ms=backend.clock.now_ms(),
        arguments=arguments,
        not_before_ms=HELD_MS if held else 0,
        group=group,
    )
    return follow(transaction, job, operations)


def follow(transaction: Transaction, job: Job, operations: Sequence[Operation]) -> list[Operation]:
    """Record the job, and give back the operations with it; those ended already stay as they are.

    What has a job ends with it.
    """
    transaction.jobs.add(job)
    return waiting(operations, job.waited_for)


def waiting(operations: Sequence[Operation], waited_for: str) -> list[Operation]:
    """The operations, with those that have not ended waiting for that job or group of jobs."""
    return [one if one.is_terminal else replace(one, job_id=waited_for) for one in operations]


def reply(
    backend: Backend, transaction: Transaction, call: Call, operations: Sequence[Operation]
) -> Result:
    """Record the operations and answer with them, also when the client asks again."""
    return call.remember(backend, transaction, record(transaction, operations))


def record(transaction: Transaction, operations: Sequence[Operation]) -> Result:
    """Record the operations and show them."""
    transaction.operations.add(operations)
    return {"operations": [operation_view(operation) for operation in operations]}


def get_operation(backend: Backend, call: Call) -> Result:
    """GetOperation."""
    operation_id = call.params["operationId"]
    with backend.catalog.read() as transaction:
        # PostgreSQL would not take a text with a zero in it.
        known = operation_id.isprintable()
        operation = transaction.operations.by_id(operation_id) if known else None
    if operation is None or operation.region != call.region:
        raise NotFoundException(f"The Operation does not exist: {shown(operation_id)}")
    return {"operation": operation_view(operation)}


def get_operations(backend: Backend, call: Call) -> Result:
    """GetOperations: newest first."""
    return _page(backend, call, None)


def get_operations_for_resource(backend: Backend, call: Call) -> Result:
    """GetOperationsForResource: newest first, also of a resource that is gone."""
    name = check_name(call.params["resourceName"])
    result = _page(backend, call, name)
    if not result["operations"] and not call.params.get("pageToken"):
        with backend.catalog.read() as transaction:
            if transaction.names.find(call.region, name) is None:
                raise NotFoundException(f"The resource does not exist: {name}")
    return result


def _page(backend: Backend, call: Call, name: str | None) -> Result:
    before = pages.read_number(call.params.get("pageToken"))
    with backend.catalog.read() as transaction:
        found, more = transaction.operations.page(call.region, before, pages.SIZE, name)
    return {
        "operations": [operation_view(operation) for operation in found],
        "nextPageToken": pages.token(more),
    }
