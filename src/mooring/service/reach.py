"""What an act reaches through a resource that it names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Flag, auto

from mooring.catalog.transaction import Transaction
from mooring.model.access import Access
from mooring.model.operation import ResourceType
from mooring.model.resources.export_record import ExportRecord
from mooring.model.resources.instance_snapshot import InstanceSnapshot
from mooring.model.tags import Tags


class Through(Flag):
    """What else an act on an instance acts on."""

    NOTHING = 0
    DISKS = auto()
    """The disks attached to it."""
    AUTOMATIC = auto()
    """Its automatic snapshots: what they hold was on disks that were attached then."""
    STATIC_IP = auto()
    """The static IP attached to it."""


def out_of_reach(
    transaction: Transaction, access: Access, through: Through, kind: ResourceType, resource_id: str
) -> str | None:
    """What of a resource's own is not the caller's, in words; None if all of it is.

    A disk's automatic snapshots are the disk's, whoever may act on that. A snapshot that somebody
    took is its own: its tags say who may, of an instance's for all of it.
    """
    if kind is not ResourceType.INSTANCE or through is Through.NOTHING:
        return None
    if Through.DISKS in through:
        disks = transaction.disks.of_instance(resource_id)
        if not all(access.reaches(disk.tags) for disk in disks):
            return "all disks attached to the instance"
    if Through.AUTOMATIC in through:
        taken = transaction.instance_snapshots.auto_of_instance(resource_id)
        if not all(access.reaches(tags) for tags in _origins(transaction, taken)):
            return "all disks in the instance's automatic snapshots"
    if Through.STATIC_IP in through:
        static_ip = transaction.static_ips.of_instance(resource_id)
        if static_ip is not None and not access.reaches(static_ip.tags):
            return "the static IP attached to the instance"
    return None


def _origins(transaction: Transaction, taken: Sequence[InstanceSnapshot]) -> Iterator[Tags]:
    """The tags of the disks that the parts were taken of: of then, where there are no more."""
    for whole in taken:
        for part in whole.parts:
            disk = transaction.disks.by_id(part.disk_id)
            yield part.tags if disk is None else disk.tags


def reaches_record(transaction: Transaction, access: Access, record: ExportRecord) -> bool:
    """Whether an export is the caller's: it was of a snapshot that was, or still is."""
    if not access.tags or access.reaches(record.tags):
        return True
    return access.reaches(transaction.tags.of([record.source_id])[record.source_id])
