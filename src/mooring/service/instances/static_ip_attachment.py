"""What attaching and detaching a static IP reports, and how one leaves its instance."""

from __future__ import annotations

from collections.abc import Sequence

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.operation import Operation
from mooring.model.resources.instance import Instance
from mooring.model.resources.static_ip import StaticIp
from mooring.service.answers import operations
from mooring.service.call import Call


def detach(
    backend: Backend, transaction: Transaction, call: Call, one: StaticIp
) -> list[Operation]:
    """Detach a static IP from its instance; the operations that tell so."""
    assert one.instance_id is not None
    instance = transaction.instances.by_id(one.instance_id)
    assert instance is not None
    transaction.static_ips.change(one.id, instance_id=None)
    return begin_both(backend, call, one, instance, "DetachStaticIp")


def begin_both(
    backend: Backend, call: Call, one: StaticIp, instance: Instance, kind: str
) -> list[Operation]:
    """Operations on both, each with the other's name."""
    pairs: Sequence[tuple[StaticIp | Instance, str]] = ((one, instance.name), (instance, one.name))
    return [
        operations.begin(backend, call, resource, details=details, kind=kind, ended=True)
        for resource, details in pairs
    ]
