"""The freeze of a recorded snapshot: all its disks at one instant, or none."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import Enum
from typing import TypeVar

from mooring.backend.backend import Backend
from mooring.catalog.transaction import Transaction
from mooring.model.errors import OperationFailureException
from mooring.model.resources.instance_snapshot import InstanceSnapshot, Snapshot
from mooring.model.resources.snapshot import DiskSnapshot
from mooring.taking import recording
from mooring.taking.attempt import attempt
from mooring.taking.rest import freeze_at_rest
from mooring.taking.verdict import Frozen

Answer = TypeVar("Answer")


class Left(Enum):
    """How much of a snapshot is frozen when a server looks that did not freeze it."""

    NOTHING = "nothing"
    SOME = "some"
    ALL = "all"


def freeze(backend: Backend, whole: Snapshot) -> Frozen:
    """Fix the content of the snapshot's disks at one instant.

    Their users are brought to rest for it, as the disks' tags wish. Raises
    OperationFailureException, and what the engine raises.
    """
    with backend.catalog.read() as transaction:
        found = [transaction.disks.by_id(one.disk_id) for one in whole.members]
        disks = [disk for disk in found if disk is not None]
        # They are one, or all of an instance.
        of = disks[0].instance_id if disks else None
        instance = None if of is None else transaction.instances.by_id(of)
    if len(disks) < len(whole.members):
        raise OperationFailureException("A disk was deleted meanwhile, so nothing was made of it.")
    return freeze_at_rest(backend, instance, disks, {one.disk_id: one.id for one in whole.members})


def freeze_or_take_back(
    backend: Backend, whole: Snapshot, answer: Callable[[Transaction], Answer]
) -> Answer:
    """Freeze what a request has reserved and confirm it; on a failure nothing of it is left.

    Returns what `answer` makes in the transaction that confirms. Raises
    OperationFailureException.
    """
    failure = f"The {source_of(whole)} could not be frozen, so no snapshot was taken"
    with backend.under_way.noted(whole.id):
        with attempt(backend, failure, lambda transaction: recording.take_back(transaction, whole)):
            frozen = freeze(backend, whole)
        with backend.catalog.write() as transaction:
            recording.confirm(transaction, whole, frozen)
            return answer(transaction)


def left(whole: Snapshot, points: Callable[[DiskSnapshot], Collection[str]]) -> Left:
    """How much of the snapshot is frozen; `points` reads the frozen points of a part's disk."""
    frozen = [one for one in whole.members if one.id in points(one)]
    if not frozen:
        return Left.NOTHING
    return Left.ALL if len(frozen) == len(whole.members) else Left.SOME


def source_of(whole: Snapshot) -> str:
    """What the snapshot is of, in words."""
    if isinstance(whole, InstanceSnapshot):
        return f"disks of the instance {whole.instance_name}"
    return f"disk {whole.disk_name}"
