"""Free slots of addresses, among instances and static IPs of all regions."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, union_all

from mooring.catalog.locks import alone
from mooring.catalog.tables import schema
from mooring.model.addresses import SLOTS
from mooring.model.errors import OperationFailureException

SLOTS_LOCK = "slots of addresses"
"""What whoever takes one has alone."""

_instances, _static_ips = schema.instances, schema.static_ips
_HIGHEST = tuple(select(func.max(table.c.slot)) for table in (_instances, _static_ips))
_used = union_all(select(_instances.c.slot), select(_static_ips.c.slot)).subquery()
_ALL = select(_used.c.slot)


def free_slot(connection: Connection) -> int:
    """A slot that nothing has; nobody else gets it before this transaction ends.

    The one above all others, and once there is none the lowest that is free again.

    Raises OperationFailureException if all are taken.
    """
    alone(connection, SLOTS_LOCK)
    highest = (connection.execute(one).scalar() for one in _HIGHEST)
    slot = 1 + max(-1 if one is None else int(one) for one in highest)
    if slot >= SLOTS:
        slot = _lowest_free(connection)
    if slot >= SLOTS:
        raise OperationFailureException(
            f"All {SLOTS} addresses are in use: delete instances or release static IPs first."
        )
    return slot


def _lowest_free(connection: Connection) -> int:
    used = set(connection.execute(_ALL).scalars())
    return next(slot for slot in range(len(used) + 1) if slot not in used)
