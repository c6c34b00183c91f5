"""Ways to attached disks for machines on other hosts."""

from __future__ import annotations

from mooring.backend.backend import Backend
from mooring.model.errors import ConfigurationError, OperationFailureException
from mooring.model.resources.disk import is_shared
from mooring.nbd.uri import parse_uri
from mooring.relay.ways import Way
from mooring.service.call import Params
from mooring.service.context import Context
from mooring.service.finding import find_disk, find_instance
from mooring.service.own.disks import served_to_others
from mooring.service.own.own_request import Answer, member


def tcp_uri(backend: Backend, context: Context, params: Params) -> Answer:
    """Open the way to the disks of an instance for other hosts; the URI of one, over TCP with TLS.

    The disk `diskName` must be attached to a running instance; `instanceName` instead stands for
    the instance's system disk. With `close` the way ends, and who uses it is cut off.
    """
    if params.get("close"):
        return _close(backend, context, params)
    disk, instance = served_to_others(backend, context, params)
    socket = parse_uri(backend.engine(disk).uri(instance.id, disk.name)).socket
    with backend.catalog.read() as transaction:
        disks = transaction.disks.of_instance(instance.id)
    shared = tuple(one.name for one in disks if is_shared(one.tags))
    way = Way(instance.region, instance.name, instance.id, socket or "", shared)
    try:
        return {"diskName": disk.name, "uri": backend.relay.uri(way, disk.name)}
    except ConfigurationError as error:
        raise OperationFailureException(
            f"The disk {disk.name} cannot be reached: {error}"
        ) from None


def _close(backend: Backend, context: Context, params: Params) -> Answer:
    with backend.catalog.read() as transaction:
        if (name := params.get("instanceName")) is not None:
            instance = find_instance(transaction, context.region, name)
        else:
            disk = find_disk(transaction, context.region, member(params, "diskName"))
            found = transaction.instances.by_id(disk.instance_id) if disk.instance_id else None
            if found is None:
                raise OperationFailureException(
                    f"The disk {disk.name} is not attached to an instance: name the instance "
                    "with instanceName."
                )
            instance = found
    backend.engine(instance)
    backend.relay.close_way(instance.region, instance.name)
    return {"instanceName": instance.name}
