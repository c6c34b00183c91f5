"""Free slots of addresses, among instances and static IPs of all regions."""

from __future__ import annotations

from sqlalchemy import Connection, func, literal, select, union_all

from mooring.catalog.locks import alone
from mooring.catalog.tables import schema
from mooring.model.addresses import SLOTS
from mooring.model.errors import OperationFailureException

SLOTS_LOCK = "slots of addresses"
"""What whoever takes one has alone."""

_instances, _static_ips = schema.instances, schema.static_ips
_before = union_all(
    select(literal(-1).label("slot")), select(_instances.c.slot), select(_static_ips.c.slot)
).subquery()
_next = _before.c.slot + 1
_FREE = select(func.min(_next)).where(
    ~select(_instances.c.id).where(_instances.c.slot == _next).exists(),
    ~select(_static_ips.c.id).where(_static_ips.c.slot == _next).exists(),
)


def free_slot(connection: Connection) -> int:
    """The lowest slot that nothing has; nobody else gets it before this transaction ends.

    Raises OperationFailureException if there is none.
    """
    alone(connection, SLOTS_LOCK)
    slot = int(connection.execute(_FREE).scalar_one())
    if slot >= SLOTS:
        raise OperationFailureException(
            f"All {SLOTS} addresses are in use: delete instances or release static IPs first."
        )
    return slot
